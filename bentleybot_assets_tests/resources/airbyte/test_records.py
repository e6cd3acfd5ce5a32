"""Records become typed frames, or are refused in words that lead to the fault."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.resources.airbyte.records import MalformedRecordsError, normalise
from bentleybot_assets_tests.resources.airbyte.raw_bars import bar


def refusal(*records):
    with pytest.raises(MalformedRecordsError) as refused:
        normalise(DailyBars, list(records))
    return refused.value.faults


def test_records_become_the_contracts_columns_and_types():
    frame, _ = normalise(DailyBars, [bar()])
    assert dict(frame.schema) == DailyBars.polars_schema()
    row = frame.row(0, named=True)
    assert row["session"] == date(2022, 12, 28)
    assert row["event_at"] == datetime(2022, 12, 28, 21, 0, tzinfo=UTC)
    assert (row["close"], row["volume"], row["open"]) == (10.25, 1200.0, None)


def test_no_records_become_an_empty_frame_of_the_contract():
    assert normalise(CorporateActions, [])[0].equals(CorporateActions.empty_frame())


def test_what_a_source_keeps_in_extra_stays_as_it_wrote_it():
    kept = bar(extra='{"b":1.0, "a":"é"}')
    whole, _ = normalise(DailyBars, [kept])
    with_nulls_left_out, _ = normalise(DailyBars, [{name: value for name, value in kept.items() if value is not None}])
    assert whole["extra"].to_list() == with_nulls_left_out["extra"].to_list() == [kept["extra"]]


def test_the_order_of_records_and_of_their_columns_does_not_matter_to_the_values():
    later = bar(session="2022-12-29")
    frame, _ = normalise(DailyBars, [later, dict(reversed(bar().items()))])
    assert frame["session"].to_list() == [date(2022, 12, 29), date(2022, 12, 28)]
    assert frame.columns == list(DailyBars.polars_schema())


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2022-12-28T21:00:00Z", datetime(2022, 12, 28, 21, tzinfo=UTC)),
        ("2022-12-28T21:00:00.123456Z", datetime(2022, 12, 28, 21, microsecond=123456, tzinfo=UTC)),
        ("2022-12-28T16:00:00-05:00", datetime(2022, 12, 28, 21, tzinfo=UTC)),
    ],
)
def test_instants_are_read_with_their_offset(text, instant):
    assert normalise(DailyBars, [bar(fetched_at=text)])[0]["fetched_at"].item() == instant


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("close", "10.25", "a number"),
        ("close", True, "a number"),
        ("close", [10.25], "a number"),
        ("symbol", 7, "a text"),
        ("is_modelled", 1, "true or false"),
        ("is_modelled", "true", "true or false"),
        ("session", "28.12.2022", "an ISO date like 2022-12-28"),
        ("session", 20221228, "an ISO date like 2022-12-28"),
        ("session", "2022-02-30", "an ISO date like 2022-12-28"),
        ("event_at", "2022-12-28T21:00:00", "an ISO instant with its offset like 2022-12-28T21:00:00Z"),
        ("event_at", "2022-12-28", "an ISO instant with its offset like 2022-12-28T21:00:00Z"),
        ("event_at", "", "an ISO instant with its offset like 2022-12-28T21:00:00Z"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_where_what_and_why(column, value, wanted):
    changes = {"symbol": "KO", column: value}
    (fault,) = refusal(bar(), bar(**changes))
    key = f"symbol={changes['symbol']}, session={changes.get('session', '2022-12-28')}, "
    assert (fault.rule, fault.column) == ("column_type", column)
    assert fault.message == (
        f"raw__market__daily_bars at {key}fetched_at=2022-12-28T21:15:00Z from test/bars: "
        f"column {column} = {value!r}; the rule is that it is {wanted}. Mend the source."
    )


def test_a_record_without_a_column_that_must_have_a_value_is_refused():
    short = bar(symbol="KO")
    del short["currency"]
    (fault,) = refusal(bar(), short)
    assert (fault.rule, fault.column) == ("column_exists", "currency")
    assert "raw__market__daily_bars at symbol=KO, session=2022-12-28" in fault.message
    assert "from test/bars: column currency is missing, value none; the rule is" in fault.message


def test_a_null_that_is_left_out_is_a_null():
    # What the protocol's own writer makes of it.
    short = {name: value for name, value in bar().items() if value is not None}
    assert normalise(DailyBars, [short])[0].equals(normalise(DailyBars, [bar()])[0])


def test_a_field_without_a_column_is_kept_beside_what_the_source_put_there():
    told = bar(symbol="KO", vwap=10.1, extra='{"trades": 7}')
    frame, undeclared = normalise(DailyBars, [bar(), told, bar(symbol="IBM", tags=["a"])])
    assert undeclared == {"vwap", "tags"}
    assert frame["extra"].to_list() == [None, '{"trades": 7, "vwap": 10.1}', '{"tags": ["a"]}']
    assert frame.columns == list(DailyBars.polars_schema())


def test_each_faulty_column_is_told_once():
    faults = refusal(*[bar(close="x", session="y") for _ in range(3)])
    assert sorted(fault.column for fault in faults) == ["close", "session"]


def test_nulls_stay_for_the_contract_to_judge():
    assert normalise(DailyBars, [bar(symbol=None, session=None)])[0]["session"].null_count() == 1


def test_a_number_that_is_not_one_is_kept_as_evidence():
    assert normalise(DailyBars, [bar(close=float("nan"))])[0]["close"].is_nan().item()
