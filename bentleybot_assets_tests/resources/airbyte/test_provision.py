"""A workspace becomes what the desk needs: what is there is found, what differs is changed, secrets stay untold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.provision import WantedSource, changed_settings, provision
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.resources.airbyte.fake_server import MASK, MYSQL, WORKSPACE, Answer, FakeAirbyte, serving
from bentleybot_assets_tests.resources.airbyte.server_desk import (
    CONFIG,
    LOG,
    STREAMS,
    desk_at,
    embedded,
    empty_raw_database,
    log_of,
)

SECRET = MYSQL["password"]


ALL = sorted(stream.name for stream in MarketSource().streams(CONFIG))
"""What the source offers."""


@pytest.fixture
def fake(mariadb, mysql_server):
    empty_raw_database(mariadb)
    with serving(FakeAirbyte(mariadb)) as server:
        yield server


@pytest.fixture
def airbyte(fake, tmp_path):
    return desk_at(fake, tmp_path / "airbyte.json")


def market(**changes):
    return WantedSource("market", CONFIG | changes, "bentleybot/source-market", "0.1.0")


def done(airbyte, *, source=None, destination=MYSQL, dry_run=False, sends_secrets=False):
    sources = [source or market()]
    return list(provision(airbyte.client(), sources, destination, dry_run=dry_run, sends_secrets=sends_secrets))


def writes(fake):
    return [(method, path) for method, path in fake.requests if method != "GET" and not path.endswith("/token")]


def test_an_empty_workspace_gets_everything_and_syncs(fake, airbyte, tmp_path):
    assert done(airbyte) == [
        f"{fake.url}, workspace {WORKSPACE}",
        "destination definition airbyte/destination-mysql: created",
        "destination bentleybot: created",
        "source definition bentleybot/source-market: created",
        "source market: created",
        f"connection market: created: {', '.join(ALL)}",
    ]
    airbyte.refresh(["market"])
    warehouse, other = ParquetWarehouse(tmp_path / "a"), ParquetWarehouse(tmp_path / "b")
    airbyte.sync("market", STREAMS, warehouse, LOG)
    embedded().sync("market", STREAMS, other, LOG)
    assert all(log.equals(log_of(other)[name]) for name, log in log_of(warehouse).items())


def test_what_is_as_it_should_be_is_left_alone(fake, airbyte):
    done(airbyte)
    made = len(writes(fake))
    assert done(airbyte)[1:] == [
        "destination definition airbyte/destination-mysql: version 1.1.1 is used",
        "destination bentleybot: as it should be",
        "source definition bentleybot/source-market: as it should be",
        "source market: as it should be",
        "connection market: as it should be",
    ]
    assert len(writes(fake)) == made


def test_what_differs_is_changed_and_named(fake, airbyte):
    done(airbyte)
    (connection,) = fake.connections.values()
    connection["status"] = "inactive"
    connection["configurations"] = {"streams": connection["configurations"]["streams"][1:]}
    changed = WantedSource("market", CONFIG | {"symbols": ["IBM"]}, "bentleybot/source-market", "0.2.0")
    assert done(airbyte, source=changed, destination=MYSQL | {"ssl": True})[2:] == [
        "destination bentleybot: changed (ssl)",
        "source definition bentleybot/source-market: changed (dockerImageTag)",
        "source market: changed (symbols)",
        "connection market: changed (corporate_actions, status)",
    ]
    assert [definition["dockerImageTag"] for definition in fake.definitions["sources"]] == ["0.2.0"]
    (source,) = fake.sources.values()
    assert source["configuration"]["symbols"] == ["IBM"]
    assert connection["status"] == "active"
    assert [stream["name"] for stream in connection["configurations"]["streams"]] == ALL


def test_a_dry_run_says_where_and_what_and_changes_nothing(fake, airbyte):
    assert done(airbyte, dry_run=True) == [
        f"{fake.url}, workspace {WORKSPACE}: nothing is changed",
        "destination definition airbyte/destination-mysql: would be created",
        "destination bentleybot: would be created",
        "source definition bentleybot/source-market: would be created",
        "source market: would be created",
        "connection market: would be created, with the streams that its source offers",
    ]
    assert writes(fake) == []
    done(airbyte)
    made = len(writes(fake))
    assert (
        done(airbyte, source=market(symbols=["IBM"]), dry_run=True)[-2] == "source market: would be changed (symbols)"
    )
    assert len(writes(fake)) == made


def test_secrets_are_sent_and_never_told(fake, airbyte):
    lines = done(airbyte)
    (destination,) = fake.destinations.values()
    assert destination["configuration"]["password"] == SECRET
    rotated = MYSQL | {"password": "another-s3cret"}
    lines += done(airbyte, destination=rotated)
    assert destination["configuration"]["password"] == SECRET
    lines += done(airbyte, destination=rotated, sends_secrets=True)
    assert destination["configuration"]["password"] == rotated["password"]
    assert lines[-4] == "destination bentleybot: changed (password)"
    assert not any(secret in "".join(lines) for secret in (SECRET, "another-s3cret", MASK))


BANK = {"name": "Bank", "kind": "plaid", "client_id": "id-of-the-client", "secret": "s3cret", "access_token": "t0ken"}
BROKER = {"name": "Broker", "kind": "alpaca", "environment": "paper", "key_id": "k3y", "secret_key": "s3cret"}
ACCOUNTS = [BANK | {"products": ["transactions"]}, BROKER]


def portfolio(*institutions):
    config = {"mode": "institutions", "institutions": list(institutions)}
    return WantedSource("portfolio", config, "bentleybot/source-portfolio", "0.1.0")


def of_the_source(airbyte, source, **choices):
    (line,) = [line for line in done(airbyte, source=source, **choices) if line.startswith(f"source {source.name}: ")]
    return line.partition(": ")[2]


def test_secrets_within_a_list_are_not_taken_for_a_change(fake, airbyte):
    assert of_the_source(airbyte, portfolio(*ACCOUNTS)) == "created"
    assert (
        fake.handle("GET", "/v1/sources", {}, None)[1]["data"][0]["configuration"]["institutions"][0]["secret"] == MASK
    )
    made = len(writes(fake))
    assert of_the_source(airbyte, portfolio(*ACCOUNTS)) == "as it should be"
    assert len(writes(fake)) == made


@pytest.mark.parametrize(
    ("institutions", "said"),
    [
        ([ACCOUNTS[0] | {"products": ["investments"]}, BROKER], "institutions[0].products[0]"),
        ([ACCOUNTS[0] | {"environment": "sandbox"}, BROKER], "institutions[0].environment"),
        ([ACCOUNTS[0], {key: BROKER[key] for key in BROKER if key != "environment"}], "institutions[1].environment"),
        ([ACCOUNTS[0], {key: BROKER[key] for key in BROKER if key != "key_id"}], "institutions[1].key_id"),
        ([BROKER], "institutions"),
        ([*ACCOUNTS, BROKER | {"name": "Other"}], "institutions"),
    ],
)
def test_what_differs_within_a_list_is_named_by_its_place_and_put_right(institutions, said, fake, airbyte):
    done(airbyte, source=portfolio(*ACCOUNTS))
    wanted = portfolio(*institutions)
    assert of_the_source(airbyte, wanted, dry_run=True) == f"would be changed ({said})"
    assert of_the_source(airbyte, wanted) == f"changed ({said})"
    (source,) = fake.sources.values()
    assert (source["name"], source["configuration"]) == ("portfolio", wanted.config)
    assert of_the_source(airbyte, wanted) == "as it should be"


def test_a_secret_within_a_list_is_sent_again_when_that_is_asked_for(fake, airbyte):
    done(airbyte, source=portfolio(*ACCOUNTS))
    wanted = portfolio(ACCOUNTS[0] | {"secret": "another-s3cret"}, BROKER)
    assert of_the_source(airbyte, wanted) == "as it should be"
    said = of_the_source(airbyte, wanted, sends_secrets=True)
    assert "institutions[0].secret" in said
    assert not any(secret in said for secret in ("s3cret", "t0ken", "k3y", MASK))
    (source,) = fake.sources.values()
    assert source["configuration"] == wanted.config


def test_a_setting_that_was_taken_out_is_taken_out_on_the_server(fake, airbyte):
    done(airbyte, source=market(lookback_sessions=3), destination=MYSQL | {"jdbc_url_params": "a=b"})
    assert done(airbyte)[2] == "destination bentleybot: changed (jdbc_url_params)"
    assert of_the_source(airbyte, market(lookback_sessions=3)) == "changed (lookback_sessions)"
    assert of_the_source(airbyte, market()) == "changed (lookback_sessions)"
    assert [source["configuration"] for source in fake.sources.values()] == [CONFIG]
    assert [destination["configuration"] for destination in fake.destinations.values()] == [MYSQL]


def test_a_setting_that_is_null_is_one_that_is_not_there(fake, airbyte):
    done(airbyte, source=market(base_url=None))
    assert of_the_source(airbyte, market(base_url=None)) == "as it should be"
    assert of_the_source(airbyte, market()) == "as it should be"


@given(
    json := st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=8,
    ),
    json,
)
def test_configurations_differ_exactly_where_they_are_not_equal_but_for_nulls(wanted, told):
    assert (changed_settings(wanted, told, sends_secrets=False) == []) == (
        _without_nulls(wanted) == _without_nulls(told)
    )


def _without_nulls(value):
    """As the server tells it; and true is not 1."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return type(value), value


@pytest.mark.parametrize("kind", ["csv", "ofx"])
def test_a_source_of_files_of_this_machine_is_refused_before_anything_is_asked(kind, fake, airbyte):
    with pytest.raises(SyncError) as refused:
        done(airbyte, source=portfolio(BROKER, {"name": "My bank", "kind": kind, "path": "statements"}))
    assert str(refused.value).startswith("portfolio: My bank: an Airbyte server does not see files of this machine.")
    assert "list portfolio in airbyte.embedded" in str(refused.value)
    assert fake.requests == []


def test_a_stream_that_cannot_be_read_incrementally_is_appended_whole(fake, airbyte, monkeypatch):
    monkeypatch.setattr(
        fake,
        "_discovered",
        lambda _: [
            {
                "streamName": "quotes",
                "syncModes": ["full_refresh_append"],
                "defaultCursorField": [],
            }
        ],
    )
    done(airbyte)
    (connection,) = fake.connections.values()
    assert connection["configurations"]["streams"] == [{"name": "quotes", "syncMode": "full_refresh_append"}]


def test_a_schedule_that_somebody_set_stays(fake, airbyte):
    done(airbyte)
    (connection,) = fake.connections.values()
    connection["schedule"] = {"scheduleType": "cron", "cronExpression": "0 0 22 * * ?"}
    assert done(airbyte)[-1] == "connection market: as it should be"


def test_two_sources_of_our_name_are_refused_with_their_ids(fake, airbyte):
    done(airbyte)
    (source,) = fake.sources.values()
    fake._make("sources", {key: value for key, value in source.items() if key != "sourceId"})
    with pytest.raises(SyncError, match=f"has 2 sources named market: {', '.join(sorted(fake.sources))}. Rename"):
        done(airbyte)


@pytest.mark.parametrize("kind", ["source", "destination"])
@pytest.mark.parametrize("is_known", [True, False])
def test_what_has_our_name_and_is_something_else_is_refused_with_its_ids(*, kind, is_known, fake, airbyte):
    if is_known:
        done(airbyte)
    name = {"source": "market", "destination": "bentleybot"}[kind]
    fake._all(f"{kind}s").clear()
    theirs = fake._make(f"{kind}s", {"name": name, "definitionId": "of-somebody-else", "configuration": {"a": 1}})
    image = {"source": "bentleybot/source-market", "destination": "airbyte/destination-mysql"}[kind]
    for dry_run in (True, False):
        with pytest.raises(SyncError) as refused:
            done(airbyte, dry_run=dry_run)
        said = str(refused.value)
        assert f"{theirs[f'{kind}Id']}" in said
        assert "is of the definition of-somebody-else" in said
        assert image in said
        assert "Rename or delete it, then run this again." in said
    assert theirs["configuration"] == {"a": 1}


@pytest.mark.parametrize("kind", ["sources", "destinations"])
def test_two_definitions_of_one_image_are_refused_with_their_ids(kind, fake, airbyte):
    done(airbyte)
    (known,) = fake.definitions[kind]
    fake.definitions[kind].append(known | {"id": "another"})
    with pytest.raises(
        SyncError, match=rf"has 2 definitions of {known['dockerRepository']}: {known['id']}, another\. "
    ):
        done(airbyte)


def test_a_connection_of_our_name_between_others_is_refused(fake, airbyte):
    connection_id = fake.add_connection("market", CONFIG, STREAMS)
    (source,) = fake.sources.values()
    source["name"] = "theirs"
    with pytest.raises(SyncError, match=rf"connections/{connection_id}\) has another source or destination"):
        done(airbyte)


def test_a_destination_of_the_old_kind_is_refused(fake, airbyte):
    fake.definitions["destinations"].append(
        {"id": "1", "name": "MySQL", "dockerRepository": "airbyte/destination-mysql", "dockerImageTag": "0.3.1"}
    )
    with pytest.raises(SyncError, match=r"at version 0\.3\.1, which writes other raw tables\. Set it to 1\.1\.1"):
        done(airbyte)


def test_a_refusal_of_the_server_is_told_without_the_configuration(fake, airbyte):
    fake.answer("POST", "/destinations", Answer(400, body='{"message": "the given configuration does not fit"}'))
    with pytest.raises(SyncError, match=r"/destinations was answered 400 \(the given configuration does not fit\)"):
        done(airbyte)


@pytest.mark.parametrize("kind", ["sources", "destinations", "connections"])
def test_what_was_made_without_an_answer_is_found_and_not_made_twice(kind, fake, airbyte):
    fake.answer("POST", f"/v1/{kind}", Answer(None, is_done=True))
    with pytest.raises(SyncError, match="no answer"):
        done(airbyte)
    done(airbyte)
    assert len(fake._all(kind)) == 1
