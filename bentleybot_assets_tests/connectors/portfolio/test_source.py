"""The portfolio source speaks the Airbyte protocol: as a program, and as an object."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, ClassVar

import pytest
from airbyte_cdk.models import FailureType, SyncMode
from airbyte_cdk.sources.utils.schema_helpers import check_config_against_spec_or_exit
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.portfolio import source as module
from bentleybot_assets.connectors.portfolio.csv_mapping import shipped_mappings
from bentleybot_assets.connectors.portfolio.files import FILE_KINDS, FilesInstitution
from bentleybot_assets.connectors.portfolio.sample import NAMES
from bentleybot_assets.connectors.portfolio.source import KINDS, PortfolioSource
from bentleybot_assets_tests.connectors.market.protocol import LOGGER, error_of, read, records_of, states_of
from bentleybot_assets_tests.connectors.portfolio.desk import CONTRACTS, STREAMS, Desk, assert_it_fits_the_raw_tables
from bentleybot_assets_tests.connectors.portfolio.ofx_files import bank, broker, ofx, pending_list, transaction
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["TestPortfolioSource", "pytest_generate_tests"]

SAMPLE = {"mode": "sample"}
OFX = {"name": "Bank", "kind": "ofx", "path": "nowhere"}
CSV = {"name": "Broker", "kind": "csv"}
FOLDER = files("bentleybot_assets.connectors.portfolio.sample_statements")


def shipped(path: str, mapping: str, **account: str) -> dict[str, str]:
    return {"path": f"{FOLDER}/{path}", "mapping": mapping, "account_kind": "brokerage", **account}


CREDIT_UNION = {"name": "Credit union", "kind": "ofx", "path": str(FOLDER)}
BROKER = {
    "name": "Broker",
    "kind": "csv",
    "files": [
        shipped("SAMPLE-brokerage-*.csv", "broker_us", account="SAMPLE-BRK-003"),
        shipped("positions-*.csv", "broker_us_positions", account="SAMPLE-BRK-003"),
    ],
}


def read_sample(states=None, *, streams=STREAMS, **config: Any):
    return read(SAMPLE | config, states, source=PortfolioSource(), streams=streams)


def everything(tmp_path) -> Desk:
    """Two institutions with something in each stream."""
    (tmp_path / "a.ofx").write_text(
        ofx(bank(transaction(), pending=pending_list(("20240228", "-3", "Cafe"))), broker())
    )
    (tmp_path / "b.csv").write_text("Date,Amount,Text,More\n2024-02-01,-5,x,kept\n")
    mapping = {
        "columns": {"posted_date": "Date", "amount": "Amount", "narrative": "Text"},
        "constants": {"currency": "USD"},
    }
    file = {"path": str(tmp_path / "b.csv"), "mapping": mapping, "account": "7", "account_kind": "savings"}
    return Desk({**OFX, "path": str(tmp_path / "a.ofx")}, {**CSV, "files": [file]})


def test_it_is_a_program(tmp_path):
    (tmp_path / "config").write_text(json.dumps(SAMPLE))
    command = [sys.executable, "-m", "bentleybot_assets.connectors.portfolio", "check", "--config", tmp_path / "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (said,) = [message for line in done.stdout.splitlines() if (message := json.loads(line))["type"] != "LOG"]
    assert said["connectionStatus"]["status"] == "SUCCEEDED"


def test_streams_are_keyed_as_their_contracts_are():
    offered = {stream.name: stream for stream in PortfolioSource().discover(LOGGER, SAMPLE).streams}
    for name, contract in CONTRACTS.items():
        assert offered[name].source_defined_primary_key == [[column] for column in contract.rules().grain]
        assert offered[name].default_cursor_field[0] in {"event_at", "fetched_at"}
        assert list(offered[name].json_schema["properties"]) == list(contract.polars_schema())


@pytest.mark.parametrize("stream", STREAMS)
def test_going_on_from_any_state_loses_and_repeats_nothing(stream):
    messages = read_sample(streams=(stream,))
    records = records_of(messages, stream)
    positions = [position for position, message in enumerate(messages) if message.state is not None]
    assert len(positions) == len(NAMES)
    for position in positions:
        before = records_of(messages[:position], stream)
        after = records_of(read_sample([messages[position].state], streams=(stream,)), stream)
        assert before + after == records


def test_a_sample_that_was_read_up_to_its_first_export_goes_on_with_the_second():
    first = read_sample(streams=("transactions",))
    (state,) = states_of(first)
    marks = state.stream.stream_state.marks
    early = [record for record in records_of(first, "transactions") if record["fetched_at"] < "2022-12-28"]
    kept = {
        f'["{record["account"]}","{record["transaction"]}"]'
        for record in early
        if record["institution"] == "Sample Bank"
    }
    bank_mark = vars(marks)["Sample Bank"] if not isinstance(marks, dict) else marks["Sample Bank"]
    bank_mark["fetched_at"] = "2022-12-20T12:00:00Z"
    bank_mark["told"] = {key: digest for key, digest in bank_mark["told"].items() if key in kept}
    rest = records_of(read_sample([state], streams=("transactions",)), "transactions")
    assert {record["fetched_at"] for record in rest} == {"2022-12-28T12:00:00Z"}
    assert {record["institution"] for record in rest} == {"Sample Bank"}


def test_two_reads_agree(tmp_path):
    first, second = everything(tmp_path), everything(tmp_path)
    assert first.sync() == second.sync()


def test_a_full_refresh_reads_everything_whatever_the_state():
    first = read_sample()
    again = read(SAMPLE, states_of(first), source=PortfolioSource(), streams=STREAMS, sync_mode=SyncMode.full_refresh)
    for stream in STREAMS:
        assert records_of(again, stream) == records_of(first, stream)


def test_an_earlier_start_date_reads_the_history_again():
    late = read_sample(start_date="2022-12-01")
    assert {record["posted_date"][:7] for record in records_of(late, "transactions") if record["posted_date"]} == {
        "2022-12"
    }
    early = read_sample(states_of(late), start_date="2022-11-01")
    assert records_of(early, "transactions") == records_of(read_sample(start_date="2022-11-01"), "transactions")


@pytest.mark.parametrize("stream", STREAMS)
def test_a_state_from_the_future_yields_no_record_and_no_crash(tmp_path, stream, caplog):
    desk = everything(tmp_path)
    desk.sync(stream)
    for state in desk.states:
        for mark in state.stream.stream_state.marks.values():
            mark["fetched_at"] = "2999-01-01T00:00:00Z"
            mark["told"] = {}
    assert desk.sync(stream) == {name: [] for name in STREAMS}
    assert desk.error is None
    assert "Bank was read at 2999-01-01T00:00:00Z, and it is " in caplog.text
    sample = read_sample(streams=(stream,))
    for state in states_of(sample):
        for mark in state.stream.stream_state.marks.values():
            mark["fetched_at"] = "2999-01-01T00:00:00Z"
    again = read_sample(states_of(sample), streams=(stream,))
    assert (records_of(again, stream), error_of(again)) == ([], None)


def test_sample_data_never_goes_on_as_one_s_own(tmp_path):
    desk = everything(tmp_path)
    desk.states = states_of(read_sample())
    desk.sync()
    assert desk.error.failure_type is FailureType.config_error
    assert "read in mode sample, the configuration says institutions" in desk.error.message


@pytest.mark.parametrize("name", ["sample", "files"])
def test_what_is_delivered_fits_the_raw_tables(tmp_path, name):
    if name == "files":
        assert_it_fits_the_raw_tables(everything(tmp_path).sync())
    else:
        messages = read_sample()
        assert_it_fits_the_raw_tables({stream: records_of(messages, stream) for stream in STREAMS})


def test_a_record_says_which_file_it_comes_from(tmp_path):
    told = everything(tmp_path).sync()["transactions"]
    sources = {(record["source"], record["source_version"].split()[0]) for record in told}
    assert sources == {("ofx file", "a.ofx"), ("csv file", "b.csv")}
    assert json.loads(told[-1]["extra"]) == {"More": "kept"}


def test_check_says_which_institution_cannot_be_read_and_why(tmp_path):
    desk = everything(tmp_path)
    assert PortfolioSource().check(LOGGER, desk.config).status.value == "SUCCEEDED"
    (tmp_path / "b.csv").write_text("Date;Amount\n")
    (tmp_path / "a.ofx").unlink()
    status = PortfolioSource().check(LOGGER, desk.config)
    assert status.status.value == "FAILED"
    assert re.search(
        r"Bank: There is no file a.ofx .* Broker: .*b.csv: line 1: there is no column Date", status.message
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "`mode` is None. Set it to sample or institutions"),
        ({"mode": "simple"}, "`mode` is 'simple'. Set it to sample or institutions"),
        ({"mode": "institutions"}, "List at least one entry in `institutions`"),
        ({"mode": "sample", "institutions": [OFX]}, "Mode sample reads no `institutions`. Set `mode: institutions`"),
        ({"mode": "institutions", "institutions": [OFX, OFX]}, "Two entries of `institutions` are named Bank"),
        (
            {"mode": "institutions", "institutions": [OFX | {"kind": "qif"}]},
            "Bank: `kind` is 'qif'. Set it to csv or ofx or plaid or alpaca",
        ),
        (
            {
                "mode": "institutions",
                "institutions": [CSV | {"files": [{"path": "x", "mapping": "bnak", "account_kind": "other"}]}],
            },
            "Broker: files[0]: there is no mapping bnak",
        ),
        (
            {
                "mode": "institutions",
                "institutions": [CSV | {"files": [{"path": "x", "mapping": "broker_us", "account_kind": "other"}]}],
            },
            "Broker: files[0]: its mapping has no column for the account. Set `account`",
        ),
    ],
)
def test_check_says_what_to_mend(config, said):
    status = PortfolioSource().check(LOGGER, config)
    assert status.status.value == "FAILED"
    assert said in status.message


def test_an_entry_that_is_wrong_leaves_the_others_alone(tmp_path):
    desk = everything(tmp_path)
    desk.config["institutions"][1]["files"][0]["mapping"] = "bnak"
    assert {record["institution"] for record in desk.sync()["transactions"]} == {"Bank"}
    assert "there is no mapping bnak" in desk.problems()["Broker"]


@pytest.mark.parametrize(
    "entry",
    [
        OFX | {"pth": "x"},
        {"name": "Bank", "kind": "ofx"},
        OFX | {"name": ""},
        OFX | {"transaction_key": "date"},
        CSV | {"files": []},
        CSV | {"files": [{"path": "x", "mapping": "bank", "account_kind": "chequing"}]},
        CSV | {"files": [{"path": "x", "mapping": "bank", "account_kind": "checking", "currency": "dollars"}]},
    ],
)
def test_the_specification_refuses_a_wrong_entry(entry):
    specification = PortfolioSource().spec(LOGGER)
    check_config_against_spec_or_exit({"mode": "institutions", "institutions": [OFX]}, specification)
    with pytest.raises(AirbyteTracedException):
        check_config_against_spec_or_exit({"mode": "institutions", "institutions": [entry]}, specification)


def test_the_specification_takes_a_mapping_of_one_s_own(tmp_path):
    check_config_against_spec_or_exit(everything(tmp_path).config, PortfolioSource().spec(LOGGER))


def test_the_specification_names_the_mappings_that_ship():
    (csv_entry,) = [
        entry
        for entry in PortfolioSource()
        .spec(LOGGER)
        .connectionSpecification["properties"]["institutions"]["items"]["oneOf"]
        if entry["title"] == "csv"
    ]
    said = csv_entry["properties"]["files"]["items"]["properties"]["mapping"]["description"]
    assert all(f"{name}," in said for name in shipped_mappings())


def test_kinds_that_read_files_are_told_apart():
    assert {kind for kind, institution in KINDS.items() if issubclass(institution, FilesInstitution)} == {*FILE_KINDS}


def test_no_secret_of_an_entry_appears_in_any_message(monkeypatch):
    class Leaky:
        """An institution that says its secret."""

        SETTINGS: ClassVar = {"api_secret": {"type": "string", "airbyte_secret": True}, "user": {"type": "string"}}
        REQUIRED = ("api_secret",)

        def __init__(self, settings, start, clock):
            self._said = f"{settings['user']} may not enter with {settings['api_secret']}"

        def check(self):
            raise ConfigError(self._said)

        def read(self, contract, mark):
            raise ConfigError(self._said)

    monkeypatch.setitem(module.KINDS, "leaky", Leaky)
    update_secrets([])
    entry = {"name": "Leaky", "kind": "leaky", "api_secret": "hunter2-hunter2", "user": "me"}
    config = {"mode": "institutions", "institutions": [entry]}
    try:
        status = PortfolioSource().check(LOGGER, config)
        assert status.message == "'Leaky: me may not enter with ****'"
        source = PortfolioSource(lambda: datetime(2024, 3, 1, tzinfo=UTC))
        messages = read(config, source=source, streams=("accounts",))
        assert "me may not enter with ****" in error_of(messages).message
        assert not [message for message in messages if "hunter2" in str(message)]
    finally:
        update_secrets([])


class TestPortfolioSource(Standards):
    connector = PortfolioSource
    scenarios: ClassVar = {
        "sample": ({"mode": "sample"}, True),
        "institutions": ({"mode": "institutions", "institutions": [CREDIT_UNION, BROKER]}, True),
        "nowhere": ({"mode": "institutions", "institutions": [CREDIT_UNION | {"path": "/no/such/folder"}]}, False),
    }
