"""Where a setting comes from, and what a wrong one says."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import pytest
import yaml

from bentleybot_assets.contracts.trading import DATA_MODES
from bentleybot_assets.settings import _DATA_MODES, Account, InvalidSettingsError, Policy, Settings

SHIPPED = Path(__file__).parents[1] / "bentleybot.yaml"
ONE_STOCK = """
watchlist:
  - {symbol: KO, name: The Coca-Cola Company, asset_class: equity, sector: Consumer Staples, valid_from: 1990-01-02}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; the environment states no home either."""
    monkeypatch.delenv("BENTLEYBOT_HOME")
    return tmp_path


def write(folder: Path, config: str) -> None:
    (folder / "bentleybot.yaml").write_text(config)


# --- what a newcomer gets


def test_an_empty_folder_gets_the_sample_desk(folder: Path) -> None:
    settings = Settings.load(folder)
    assert settings.profile == "embedded"
    assert settings.data_mode == "sample"
    assert settings.account == Account(mode="paper", cash_usd=100_000, holdings={})
    assert settings.sessions_start == date(2022, 1, 3)
    assert settings.home == folder / ".bentleybot"
    assert settings.mlflow_tracking_uri == f"sqlite:///{folder}/.bentleybot/mlflow.db"


def test_the_shipped_watchlist_is_what_the_sample_records(folder: Path) -> None:
    from bokeh_sampledata import stocks
    from skfolio.datasets import load_factors_dataset, load_sp500_dataset, load_sp500_index

    funds, shares, index = load_factors_dataset(), load_sp500_dataset(), load_sp500_index()
    recorded = {(symbol, str(funds.index[0].date()), None) for symbol in funds.columns}
    recorded |= {(symbol, str(shares.index[0].date()), None) for symbol in shares.columns}
    recorded |= {("^GSPC", str(index.index[0].date()), None)}
    recorded |= {
        (symbol, bars["date"][0], bars["date"][-1])
        for symbol, bars in (("FB", stocks.FB), ("GOOG", stocks.GOOG), ("IBM", stocks.IBM))
    }
    followed = {
        (entry.symbol, str(entry.valid_from), str(entry.valid_to) if entry.valid_to else None)
        for entry in Settings.load(folder).watchlist
    }
    assert followed == recorded


def test_the_shipped_file_states_the_defaults(folder: Path) -> None:
    shipped = Settings.load(folder)
    assert (shipped.policy, shipped.account) == (Policy(), Account()), (
        f"{SHIPPED} differs from the defaults in settings.py. Keep choices of your own in another file and name it "
        "with BENTLEYBOT_CONFIG"
    )


# --- precedence


def test_a_file_of_ones_own_replaces_whole_keys_and_keeps_the_rest(folder: Path) -> None:
    write(folder, ONE_STOCK + "account: {cash_usd: 5000}\n")
    settings = Settings.load(folder)
    assert [entry.symbol for entry in settings.watchlist] == ["KO"]
    assert settings.account.cash_usd == 5000
    assert settings.data_mode == "sample"


def test_the_environment_beats_dotenv_which_beats_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "policy: {buy_at: 0.6, sell_at: 0.1, min_cash_weight: 0.2}\n")
    (folder / ".env").write_text("BENTLEYBOT_POLICY__BUY_AT=0.7\nBENTLEYBOT_POLICY__SELL_AT=0.2\n")
    monkeypatch.setenv("BENTLEYBOT_POLICY__BUY_AT", "0.8")
    policy = Settings.load(folder).policy
    assert (policy.buy_at, policy.sell_at, policy.min_cash_weight) == (0.8, 0.2, 0.2)


def test_market_mode_is_switched_by_one_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_CONNECTIONS__MARKET__CONFIG__MODE", "yahoo")
    settings = Settings.load(folder)
    assert settings.data_mode == "yahoo"
    assert settings.connections["market"].source == "bentleybot_assets.connectors.market.source:MarketSource"


def test_holdings_and_the_watchlist_can_be_given_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "account: {holdings: {AAPL: 25, USMV: 100}}\n")
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT__HOLDINGS", '{"KO": 5, "USMV": 0}')
    assert Settings.load(folder).account.holdings == {"AAPL": 25, "KO": 5, "USMV": 0}
    entry = {"symbol": "KO", "name": "Coca-Cola", "asset_class": "equity", "sector": "S", "valid_from": "1990-01-02"}
    monkeypatch.setenv(
        "BENTLEYBOT_WATCHLIST", json.dumps([entry, entry | {"symbol": "AAPL"}, entry | {"symbol": "USMV"}])
    )
    assert [entry.symbol for entry in Settings.load(folder).watchlist] == ["KO", "AAPL", "USMV"]


def test_a_variable_that_names_a_symbol_says_how_to_write_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT__HOLDINGS__KO", "5")
    with pytest.raises(InvalidSettingsError, match=r"""write BENTLEYBOT_ACCOUNT__HOLDINGS='\{"KO": 5\}'"""):
        Settings.load(folder)


def test_another_file_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "desk.yaml").write_text(ONE_STOCK)
    (folder / ".env").write_text("BENTLEYBOT_CONFIG=desk.yaml\n")
    assert len(Settings.load(folder).watchlist) == 1
    monkeypatch.setenv("BENTLEYBOT_CONFIG", "gone.yaml")
    with pytest.raises(InvalidSettingsError, match=r"BENTLEYBOT_CONFIG names .*gone\.yaml, which is not a file"):
        Settings.load(folder)


def test_an_empty_variable_counts_as_unset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_HOME", "")
    monkeypatch.setenv("MYSQL_PORT", "")
    settings = Settings.load(folder)
    assert settings.home == folder / ".bentleybot"
    assert settings.mysql_port == 3306


@pytest.mark.parametrize(("given", "expected"), [("state", "{folder}/state"), ("/srv/desk", "/srv/desk")])
def test_a_relative_home_starts_at_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("BENTLEYBOT_HOME", given)
    assert str(Settings.load(folder).home) == expected.format(folder=folder)


# --- names that deployments already use


@pytest.mark.parametrize(
    ("variable", "attribute"),
    [
        ("MLFLOW_TRACKING_URI", "mlflow_tracking_uri"),
        ("MLFLOW_URL", "mlflow_tracking_uri"),
        ("AIRBYTE_API_URL", "airbyte_api_url"),
        ("AIRBYTE_URL", "airbyte_api_url"),
        ("KNIME_SERVER_URL", "knime_server_url"),
        ("MYSQL_HOST", "mysql_host"),
        ("MYSQL_USER", "mysql_user"),
        ("MYSQL_DATABASE", "mysql_database"),
    ],
)
def test_names_of_existing_deployments_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, attribute: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert getattr(Settings.load(folder), attribute) == "http://127.0.0.1:1"


def test_of_two_names_for_one_thing_the_current_one_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:2")
    assert Settings.load(folder).mlflow_tracking_uri == "http://127.0.0.1:2"


SECRETS = ("MYSQL_PASSWORD", "YAHOO_FINANCE_API_KEY", "AIRBYTE_PASSWORD")


def test_the_address_of_an_mlflow_server_holds_no_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://desk:hunter2@mlflow.example:5000")
    with pytest.raises(InvalidSettingsError, match=r"(?s)MLFLOW_TRACKING_URI.*MLFLOW_TRACKING_PASSWORD") as refused:
        Settings.load(folder)
    assert "hunter2" not in str(refused.value)


def test_the_address_of_a_database_may_hold_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "mysql+pymysql://desk:hunter2@db.example/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert Settings.load(folder).mlflow_tracking_uri == address


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_is_read_and_never_printed(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "hunter2")
    settings = Settings.load(folder)
    assert getattr(settings, variable.lower()).get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_an_error_does_not_show_what_was_entered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PORT", "hunter2")
    with pytest.raises(InvalidSettingsError, match=r"MYSQL_PORT: .* valid integer") as caught:
        Settings.load(folder)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_file_may_not_hold_what_belongs_in_the_environment(folder: Path) -> None:
    write(folder, "MYSQL_PASSWORD: hunter2\n")
    with pytest.raises(InvalidSettingsError, match="no setting is named MYSQL_PASSWORD; allowed here: profile, home"):
        Settings.load(folder)


# --- what is refused, and how

KO = "symbol: KO, name: Coca-Cola, asset_class: equity, sector: Consumer Staples"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("polcy: {}", r"bentleybot\.yaml: no setting is named polcy; allowed here: .*policy"),
        (
            "policy: {buy_att: 1}",
            r"policy \(BENTLEYBOT_POLICY\): no setting is named buy_att; allowed here: strategy, buy_at",
        ),
        ("policy: {max_weight: {bond: 1}}", r"policy\.max_weight .*bond; allowed here: equity, etf"),
        ("policy: {buy_at: 1.5}", r"policy\.buy_at \(BENTLEYBOT_POLICY__BUY_AT\): .*equal to 1; given: 1\.5"),
        ("policy: {buy_at: 0.3}", r"sell_at 0\.4 must be below buy_at 0\.3"),
        ("policy: {min_cash_weight: .nan}", r"policy\.min_cash_weight"),
        ("policy: {strategy: martingale}", r"policy\.strategy .*ranked_long_only.*; given: 'martingale'"),
        ("profile: production", r"profile production needs MYSQL_HOST, MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE in"),
        ("account: {mode: live}", r"live trading does not exist yet: .* two switches"),
        ("account: {cash_usd: .inf}", r"account\.cash_usd \(BENTLEYBOT_ACCOUNT__CASH_USD\): .*finite"),
        ("account: {holdings: {KO: -1}}", r"KO: -1 shares; it must be 0 or more"),
        (
            "account: {holdings: {KO: 1.5}}",
            r"account\.holdings\.KO \(BENTLEYBOT_ACCOUNT__HOLDINGS, as JSON\): .*integer.*; given: 1\.5",
        ),
        ("account: {holdings: {TSLA: 1}}", r"account\.holdings has TSLA, which the watchlist does not list"),
        ("account: {holdings: {^GSPC: 1}}", r"account\.holdings has \^GSPC"),
        ("connections: {}", r"the connection market is missing"),
        (
            "connections: {market: {config: {}}}",
            r"connections\.market\.config\.mode .* must be sample or yahoo; given: nothing",
        ),
        (
            "connections: {market: {config: {mode: yahho}}}",
            r"make sense: connections\.market\.config\.mode \(.*__MODE\): .* be sample or yahoo; given: 'yahho'\.$",
        ),
        ("connections: {market: {config: {mode: sample}}, bank: {config: {}}}", r"connections\.bank\.source"),
        (
            "connections: {market: {source: nonsense, config: {mode: sample}}}",
            r"connections\.market\.source .*pattern.*; given: 'nonsense'",
        ),
        ("watchlist: []", r"watchlist .*at least 1 item"),
        (f"watchlist: [{{{KO}}}]", r"watchlist\.0\.valid_from .*required"),
        (f"watchlist: [{{{KO}, valid_from: soon}}]", r"watchlist\.0\.valid_from .*valid date"),
        (f"watchlist: [{{{KO}, valid_from: 2020-01-02, valid_to: 2019-01-02}}]", r"KO: valid_to 2019-01-02 is before"),
        (
            f"watchlist: [{{{KO}, valid_from: 2019-01-02}}, {{{KO}, valid_from: 2020-01-02}}]",
            r"KO is listed twice for 2020-01-02; end the earlier entry with valid_to",
        ),
        (
            "watchlist: [{symbol: ON, name: ON, asset_class: equity}]",
            r"watchlist\.0\.symbol .*put the symbol in quotes",
        ),
        (
            "watchlist: [{symbol: 'KO; DROP', name: KO}]",
            r"watchlist\.0\.symbol \(BENTLEYBOT_WATCHLIST, as JSON\): .*pattern.*; given: 'KO; DROP'",
        ),
        (
            "watchlist: [{symbol: KO, asset_class: bond}]",
            r"watchlist\.0\.asset_class .*'equity', 'etf' or 'index'; given: 'bond'",
        ),
        ("- a list", r"bentleybot\.yaml must hold sections of `key: value` lines; it holds a list"),
        ("just words", r"must hold sections of `key: value` lines; it holds only 'just words'"),
        ("policy: 5", r"policy \(BENTLEYBOT_POLICY\): it must be a section of `key: value` lines; given: 5"),
        ("account:", r"account .*it must be a section of `key: value` lines; given: nothing"),
        ("watchlist: {KO: 1}", r"watchlist .*it must be a list, one entry after each dash; given: \{'KO': 1\}"),
        ("home: [here]", r"home .*it must be the path of a folder; given: \['here'\]"),
        ("policy: {buy_at: 1", r"is not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_says_what_is_right(folder: Path, config: str, message: str) -> None:
    write(folder, config)
    with pytest.raises(InvalidSettingsError, match=message):
        Settings.load(folder)


@pytest.mark.parametrize(
    "config",
    [
        "connections: {bank: {config: {api_key: hunter2}}, market: {config: {mode: sample}}}",
        "connections: {bank: {config: hunter2}, market: {config: {mode: sample}}}",
        "connections: {bank: hunter2, market: {config: {mode: sample}}}",
        "connections: hunter2",
    ],
)
def test_how_a_connection_logs_in_is_not_shown(folder: Path, config: str) -> None:
    write(folder, config)
    with pytest.raises(InvalidSettingsError, match="connections") as refused:
        Settings.load(folder)
    assert "hunter2" not in str(refused.value)


def test_what_is_shown_of_a_value_fits_a_line(folder: Path) -> None:
    write(folder, f"policy: {{strategy: {'x' * 500}}}")
    with pytest.raises(InvalidSettingsError, match=r"given: 'x{79}\.\.\.\.$"):
        Settings.load(folder)


@pytest.mark.parametrize("name", ["bentleybot.yaml", ".env"])
def test_a_file_in_another_encoding_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes("# Société Générale\n".encode("latin-1"))
    with pytest.raises(InvalidSettingsError, match=rf"{name} is not UTF-8: .* at byte 6\. Save it"):
        Settings.load(folder)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "bentleybot.yaml").mkdir()
    with pytest.raises(InvalidSettingsError, match=r"bentleybot\.yaml cannot be read: Is a directory"):
        Settings.load(folder)


def test_what_the_market_data_may_be_is_what_tables_may_say() -> None:
    assert _DATA_MODES == DATA_MODES


def test_one_instrument_may_leave_and_come_back(folder: Path) -> None:
    write(
        folder,
        f"watchlist: [{{{KO}, valid_from: 2019-01-02, valid_to: 2019-06-03}}, {{{KO}, valid_from: 2019-06-04}}]",
    )
    assert len(Settings.load(folder).watchlist) == 2


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    write(folder, "profile: staging\naccount: {mode: live}\npolicy: {buy_at: 2}\n")
    with pytest.raises(InvalidSettingsError) as caught:
        Settings.load(folder)
    assert [name in str(caught.value) for name in ("profile", "account.mode", "policy.buy_at")] == [True] * 3


@pytest.mark.parametrize("variable", ["BENTLEYBOT_POLCY__BUY_AT", "BENTLEYBOT_MYSQL_HOST", "bentleybot_watch"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_variable_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv(variable, "1")
    else:
        (folder / ".env").write_text(f"{variable}=1\n")
    with pytest.raises(InvalidSettingsError, match=f"sets {variable}, but no setting has that name; allowed: .*POLICY"):
        Settings.load(folder)


def test_a_section_given_as_one_variable_must_be_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT", '{"cash_usd": 5}')
    assert Settings.load(folder).account.cash_usd == 5
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT", "cash_usd: 5")
    with pytest.raises(InvalidSettingsError, match="must be JSON, which BENTLEYBOT_ACCOUNT is not"):
        Settings.load(folder)
    monkeypatch.delenv("BENTLEYBOT_ACCOUNT")
    (folder / ".env").write_text("BENTLEYBOT_WATCHLIST=KO,AAPL\n")
    with pytest.raises(InvalidSettingsError, match="must be JSON, which BENTLEYBOT_WATCHLIST is not"):
        Settings.load(folder)


def test_dotenv_may_hold_names_of_other_programs(folder: Path) -> None:
    (folder / ".env").write_text("COMPOSE_PROJECT_NAME=desk\nMYSQL_USER=desk\n")
    assert Settings.load(folder).mysql_user == "desk"


def test_what_a_connection_refers_to_is_found_in_dotenv_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", dict(os.environ))
    feeds = [{"kind": "newsapi", "api_key": {"env": "NEWS_API_KEY"}}, {"env": 1}]
    (folder / "bentleybot.yaml").write_text(
        yaml.safe_dump(
            {"connections": {"market": {"config": {"mode": "sample"}}, "news": {"config": {"feeds": feeds}}}}
        )
    )
    (folder / ".env").write_text("NEWS_API_KEY=hunter2\nBANKING_API_KEY=hunter3\n")
    settings = Settings.load(folder)
    assert os.environ["NEWS_API_KEY"] == "hunter2"
    assert "BANKING_API_KEY" not in os.environ
    assert settings.connections["news"].config == {"feeds": feeds}


def test_a_null_of_a_connection_is_left_to_the_sources_default(folder: Path) -> None:
    (folder / "bentleybot.yaml").write_text("connections: {market: {config: {mode: sample, base_url: }}}\n")
    assert Settings.load(folder).connections["market"].config == {"mode": "sample"}


def test_settings_do_not_print_what_a_connection_is_told(folder: Path) -> None:
    (folder / "bentleybot.yaml").write_text("connections: {market: {config: {mode: sample, api_key: hunter2}}}\n")
    assert "hunter2" not in repr(Settings.load(folder))


def test_settings_cannot_be_changed_after_loading(folder: Path) -> None:
    settings = Settings.load(folder)
    with pytest.raises(ValueError, match="frozen"):
        settings.policy.buy_at = 0.9  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.profile = "production"  # type: ignore[misc]


def test_cash_that_is_kept_must_pay_for_trading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_POLICY__MIN_CASH_WEIGHT", "0")
    with pytest.raises(InvalidSettingsError, match=r"min_cash_weight 0.0 is less than a trade costs \(0.0005 of its"):
        Settings.load()


def test_every_environment_name_is_explained_in_the_example() -> None:
    example = (SHIPPED.parent / ".env.example").read_text()
    names = [
        str(alias)
        for field in Settings.model_fields.values()
        if field.validation_alias is not None
        for alias in getattr(field.validation_alias, "choices", [field.validation_alias])
    ]
    assert len(names) == 18
    assert [name for name in names if name not in example] == []


# --- an Airbyte server

SERVER = {
    "BENTLEYBOT_AIRBYTE__MODE": "server",
    "BENTLEYBOT_AIRBYTE__WORKSPACE_ID": "11111111-1111-4111-8111-111111111111",
    "AIRBYTE_API_URL": "http://127.0.0.1:8000",
    **{f"MYSQL_{name}": "desk" for name in ("HOST", "USER", "PASSWORD", "DATABASE")},
}
LOGINS = [
    (),
    ("AIRBYTE_CLIENT_ID", "AIRBYTE_CLIENT_SECRET"),
    ("AIRBYTE_USERNAME", "AIRBYTE_PASSWORD"),
]


@pytest.mark.parametrize("login", LOGINS)
def test_an_airbyte_server_is_used_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, login: tuple[str, ...]
) -> None:
    for name in (*SERVER, *login):
        monkeypatch.setenv(name, SERVER.get(name, "s3cret"))
    settings = Settings.load()
    assert (settings.airbyte.mode, settings.airbyte.sync_minutes) == ("server", 120)
    assert "s3cret" not in repr(settings).replace("airbyte_client_id='s3cret'", "").replace(
        "airbyte_username='s3cret'", ""
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"AIRBYTE_API_URL": ""}, "airbyte.mode server needs AIRBYTE_API_URL in the environment"),
        ({"MYSQL_HOST": "", "MYSQL_USER": ""}, "airbyte.mode server needs MYSQL_HOST, MYSQL_USER in the environment"),
        ({"BENTLEYBOT_AIRBYTE__WORKSPACE_ID": ""}, "airbyte.mode server needs airbyte.workspace_id"),
        ({"BENTLEYBOT_AIRBYTE__WORKSPACE_ID": "default"}, r"airbyte.workspace_id \(BENTLEYBOT_AIRBYTE__WORKSPACE_ID\)"),
        ({"AIRBYTE_CLIENT_ID": "x"}, "set both of one pair and none of the other, or none at all"),
        ({"AIRBYTE_PASSWORD": "x"}, "set both of one pair and none of the other, or none at all"),
        (
            dict.fromkeys((*LOGINS[1], *LOGINS[2]), "x"),
            "set both of one pair and none of the other, or none at all",
        ),
        ({"AIRBYTE_API_URL": "airbyte.example:8000"}, "it must be an address that begins with http:// or https://"),
        ({"AIRBYTE_API_URL": "https://me:hunter2@airbyte.example"}, "the address must not hold a login"),
        ({"BENTLEYBOT_AIRBYTE__SYNC_MINUTES": "0"}, "airbyte.sync_minutes"),
        (
            {"BENTLEYBOT_AIRBYTE__EMBEDDED": '["bank"]'},
            "airbyte.embedded names bank; the connections are market, portfolio, news",
        ),
    ],
)
def test_an_airbyte_server_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    for name, value in {**SERVER, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettingsError, match=message) as refused:
        Settings.load()
    assert "hunter2" not in str(refused.value)
