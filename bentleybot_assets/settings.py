"""One typed description of how this desk is set up, read from files and the environment.

Belongs here: every choice a user can make, its meaning, its default and the check that it makes sense. This is
the only module that reads the environment, ``.env`` or ``bentleybot.yaml``.
Does not belong here: anything of ours (this module is a leaf), a connection, a clock, a decision.

A value is taken from the first of these that states it:

1. the environment: ``BENTLEYBOT_POLICY__BUY_AT=0.8`` overrides ``policy.buy_at``. A list, and a section whose keys a
   variable's name cannot hold (symbols), is one variable that holds JSON;
2. ``.env`` in the working folder, with the same names;
3. ``bentleybot.yaml`` in the working folder, or the file that ``BENTLEYBOT_CONFIG`` names;
4. the ``bentleybot.yaml`` that this package ships, for each top-level key the other file leaves out;
5. the defaults below.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import yaml
from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

PREFIX = "BENTLEYBOT_"
CONFIG_FILE = "bentleybot.yaml"

_NOT_SETTINGS = frozenset({"BENTLEYBOT_CONFIG", "BENTLEYBOT_FIXTURES"})
"""Names with our prefix that are no setting: the file to read, and where the tests find recordings."""

_SOURCES = {
    "market": "bentleybot_assets.connectors.market.source:MarketSource",
    "portfolio": "bentleybot_assets.connectors.portfolio.source:PortfolioSource",
    "news": "bentleybot_assets.connectors.news.source:NewsSource",
}
"""The Airbyte source behind a connection that does not name one."""

_DATA_MODES = ("sample", "yahoo")
"""What market data may be. Anything else must not pass for one of them."""

_SHOWN = 80
"""Characters of a value that a message shows."""

_SHAPES = {
    "dict_type": "it must be a section of `key: value` lines",
    "model_type": "it must be a section of `key: value` lines",
    "path_type": "it must be the path of a folder",
    "tuple_type": "it must be a list, one entry after each dash",
}
"""What pydantic's types of errors mean to whoever writes YAML."""


class InvalidSettingsError(ValueError):
    """The settings cannot be used; the message names each setting and what it should be."""


class _PlacedError(ValueError):
    """Something is wrong further inside the value that a validator looks at."""

    def __init__(self, below: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.below = below


class _Section(BaseModel):
    """Base of the sections: immutable, and a misspelt key is an error that lists the right ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            _refuse_unknown(data, cls.model_fields)
        return data


class WatchlistEntry(_Section):
    """One instrument to follow, and since (until) when.

    Attributes:
        symbol: as the market source spells it; quote it where YAML would read a boolean (``"ON"``).
        name: full name.
        asset_class: an index is followed but never bought.
        sector: GICS sector, or the style of a fund.
        currency: ISO 4217 code of its prices.
        exchange: ISO 10383 code of the calendar it follows.
        valid_from: first session in the universe.
        valid_to: last session in the universe; None while it is a member.
    """

    symbol: str = Field(pattern=r"^[A-Z0-9.\-^=]{1,15}$")
    name: str = Field(min_length=1)
    asset_class: Literal["equity", "etf", "index"]
    sector: str = Field(min_length=1)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    exchange: Literal["XNYS"] = "XNYS"
    valid_from: date
    valid_to: date | None = None

    @field_validator("symbol", mode="before")
    @classmethod
    def _explain_yaml_booleans(cls, symbol: Any) -> Any:
        if isinstance(symbol, bool):
            raise ValueError('YAML reads ON, NO, YES and TRUE as yes or no: put the symbol in quotes, as in "ON"')  # noqa: TRY004 - pydantic reports ValueError
        return symbol

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError(f"{self.symbol}: valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self


class Connection(_Section):
    """One Airbyte connection: which source runs, with which configuration.

    Attributes:
        source: ``module:Class`` of the source; may be left out for the connections this package brings.
        config: what the source's ``spec`` asks for. ``{env: NAME}`` stands for what that variable of the environment or
            ``.env`` holds when the source is read: a secret. A null is as if it were left out.
    """

    source: str = Field(pattern=r"^[\w.]+:\w+$")
    config: dict[str, Any] = Field(default_factory=dict, repr=False)

    @field_validator("config")
    @classmethod
    def _leave_out_nulls(cls, config: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if value is not None}


class AirbyteServer(_Section):
    """Who carries out the Airbyte connections.

    Attributes:
        mode: ``embedded`` reads the sources in process; ``server`` has an Airbyte server sync them into its MySQL
            destination, which is this desk's MySQL server.
        embedded: the connections that are read in process all the same: of files of this machine, for instance.
        workspace_id: which of the server's workspaces.
        poll_seconds: how long to wait before asking again how far a sync is.
        sync_minutes: how long a sync may take; after that it is cancelled.
        mysql_host: the desk's MySQL server as the Airbyte server reaches it; ``MYSQL_HOST`` unless stated.
        images: what the names of the connectors' images begin with.
    """

    mode: Literal["embedded", "server"] = "embedded"
    embedded: tuple[str, ...] = ()
    workspace_id: str | None = Field(default=None, pattern=r"^[0-9a-fA-F-]{36}$")
    poll_seconds: float = Field(default=10, ge=0, le=600)
    sync_minutes: float = Field(default=120, gt=0, le=10_080)
    mysql_host: str | None = None
    images: str = Field(default="bentleybot", min_length=1)


class Account(_Section):
    """The account that the orders are for, until a portfolio connection reports it.

    Attributes:
        mode: ``paper``: orders are intents in our own books and reach no broker.
        cash_usd: cash at hand.
        holdings: whole shares held, per symbol.
    """

    mode: Literal["paper", "live"] = "paper"
    cash_usd: float = Field(default=100_000.0, ge=0, allow_inf_nan=False)
    holdings: dict[str, int] = Field(default_factory=dict)

    @field_validator("mode")
    @classmethod
    def _paper_only(cls, mode: str) -> str:
        if mode == "live":
            raise ValueError(
                "live trading does not exist yet: it arrives with the broker connection and will need two "
                "switches. Set it to paper"
            )
        return mode

    @field_validator("holdings")
    @classmethod
    def _long_only(cls, holdings: dict[str, int]) -> dict[str, int]:
        for symbol, shares in holdings.items():
            if symbol != symbol.upper():
                raise ValueError(
                    f"{symbol}: symbols are in capitals, which the name of a variable cannot say; in the environment "
                    f"""write {PREFIX}ACCOUNT__HOLDINGS='{{"{symbol.upper()}": {shares}}}'"""
                )
            if shares < 0:
                raise ValueError(f"{symbol}: {shares} shares; it must be 0 or more (short positions are not supported)")
        return holdings


class MaxWeight(_Section):
    """The largest share of the account's value that one instrument may take, as a fraction."""

    equity: float = Field(default=0.10, gt=0, le=1)
    etf: float = Field(default=0.25, gt=0, le=1)


class CostBps(_Section):
    """What a trade is expected to cost, in basis points of its value (commission, spread, slippage)."""

    equity: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    etf: float = Field(default=3.0, ge=0, allow_inf_nan=False)


class Policy(_Section):
    """How forecasts become target weights.

    Attributes:
        strategy: the only one so far.
        buy_at: an instrument is bought where its forecast ranks at or above this (fraction of the universe).
        sell_at: one that is held is sold where its forecast ranks at or below this.
        max_weight: cap per instrument, by asset class.
        min_cash_weight: share of the account that always stays cash.
        min_trade_weight: a change smaller than this share of the account is not worth its cost.
        cost_bps: expected cost of a trade, by asset class.
        horizon_sessions: how far ahead forecasts look, in exchange sessions.
    """

    strategy: Literal["ranked_long_only"] = "ranked_long_only"
    buy_at: float = Field(default=0.70, ge=0, le=1)
    sell_at: float = Field(default=0.40, ge=0, le=1)
    max_weight: MaxWeight = Field(default_factory=MaxWeight)
    min_cash_weight: float = Field(default=0.05, ge=0, lt=1)
    min_trade_weight: float = Field(default=0.01, ge=0, lt=1)
    cost_bps: CostBps = Field(default_factory=CostBps)
    horizon_sessions: int = Field(default=20, ge=1, le=252)

    @model_validator(mode="after")
    def _buys_above_where_it_sells(self) -> Self:
        if self.sell_at >= self.buy_at:
            raise ValueError(
                f"sell_at {self.sell_at} must be below buy_at {self.buy_at}, or what was just bought is sold"
            )
        return self

    @model_validator(mode="after")
    def _keeps_what_trading_costs(self) -> Self:
        dearest = max(self.cost_bps.equity, self.cost_bps.etf) / 10_000
        if self.min_cash_weight < dearest:
            raise ValueError(
                f"min_cash_weight {self.min_cash_weight} is less than a trade costs ({dearest:.4f} of its value, "
                "cost_bps): buying all of it would leave less than no cash"
            )
        return self


class Settings(BaseSettings):
    """How this desk is set up. Read it with :meth:`load`.

    Attributes:
        profile: ``embedded`` keeps everything in files under ``home``; ``production`` keeps tables, ledger, Dagster's
            history and MLflow's runs in MySQL.
        home: the folder of all local state.
        sessions_start: first exchange session that has signals and orders (near going live, not the first price).
        watchlist: the instruments to follow.
        connections: the Airbyte connections, by name.
        airbyte: who carries them out.
        account: whose money it is and how it trades.
        policy: how forecasts become target weights.
        mysql: time-outs and TLS of the MySQL connections: ``connect_timeout``, ``read_timeout``, ``ssl_mode``,
            ``ssl_ca``, ``ssl_cert``, ``ssl_key``.

    The other attributes carry the names that deployments of the desk already use, are read from the environment
    or ``.env`` alone, and are described in ``.env.example``.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        dotenv_filtering="only_existing",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    profile: Literal["embedded", "production"] = "embedded"
    home: Path = Path(".bentleybot")
    sessions_start: date = date(2022, 1, 3)
    watchlist: tuple[WatchlistEntry, ...] = Field(min_length=1)
    connections: dict[str, Connection] = Field(
        default_factory=lambda: {
            name: Connection(source=source, config={"mode": "sample"}) for name, source in _SOURCES.items()
        }
    )
    airbyte: AirbyteServer = Field(default_factory=AirbyteServer)
    account: Account = Field(default_factory=Account)
    policy: Policy = Field(default_factory=Policy)

    mysql: dict[str, str] = Field(default_factory=dict)
    dagster_home: Path | None = Field(None, validation_alias="DAGSTER_HOME")
    mlflow_url: str | None = Field(None, validation_alias=AliasChoices("MLFLOW_TRACKING_URI", "MLFLOW_URL"))
    mysql_host: str | None = Field(None, validation_alias="MYSQL_HOST")
    mysql_port: int = Field(3306, validation_alias="MYSQL_PORT", ge=1, le=65535)
    mysql_user: str | None = Field(None, validation_alias="MYSQL_USER")
    mysql_password: SecretStr | None = Field(None, validation_alias="MYSQL_PASSWORD")
    mysql_database: str | None = Field(None, validation_alias="MYSQL_DATABASE")
    airbyte_api_url: str | None = Field(None, validation_alias=AliasChoices("AIRBYTE_API_URL", "AIRBYTE_URL"))
    airbyte_client_id: str | None = Field(None, validation_alias="AIRBYTE_CLIENT_ID")
    airbyte_client_secret: SecretStr | None = Field(None, validation_alias="AIRBYTE_CLIENT_SECRET")
    airbyte_username: str | None = Field(None, validation_alias="AIRBYTE_USERNAME")
    airbyte_password: SecretStr | None = Field(None, validation_alias="AIRBYTE_PASSWORD")
    airbyte_mysql_user: str | None = Field(None, validation_alias="AIRBYTE_MYSQL_USER")
    airbyte_mysql_password: SecretStr | None = Field(None, validation_alias="AIRBYTE_MYSQL_PASSWORD")
    knime_server_url: str | None = Field(None, validation_alias="KNIME_SERVER_URL")
    yahoo_finance_api_key: SecretStr | None = Field(None, validation_alias="YAHOO_FINANCE_API_KEY")

    @field_validator("dagster_home")
    @classmethod
    def _is_a_folder(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise ValueError(
                f"{folder} is not a folder. Make it, or unset DAGSTER_HOME: then dagster.yaml says where the history is"
            )
        return folder

    @field_validator("mlflow_url")
    @classmethod
    def _refuse_passwords_of_servers(cls, url: str | None) -> str | None:
        # MLflow's messages show the address of a server as it is.
        if url and url.startswith(("http://", "https://")) and urlsplit(url).password is not None:
            raise ValueError(
                "the address must not hold a password, because MLflow shows it in its messages; export "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        return url

    @classmethod
    def load(cls, folder: Path | None = None) -> Settings:
        """Read the settings of ``folder`` (default: the working folder).

        Raises:
            InvalidSettingsError: names every setting that is unknown, missing or senseless, and what is allowed.
        """
        folder = (folder or Path.cwd()).resolve()
        dotenv = folder / ".env"
        with _unreadable_named(dotenv):
            environment = {name: value for name, value in {**dotenv_values(dotenv), **os.environ}.items() if value}
        _refuse_unknown_variables(environment)
        config = _config_file(folder, environment)
        choices = {**_read_yaml(_shipped_config()), **_read_yaml(config)}
        try:
            settings = cls(_env_file=dotenv, **choices)
        except ValidationError as error:
            problems = [_describe(problem) for problem in error.errors()]
            listed = f" {problems[0]}" if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
            # The original error is dropped on purpose: it may show what was entered, hence a secret.
            raise InvalidSettingsError(f"{config} or the environment does not make sense:{listed}") from None
        except SettingsError as error:
            (field,) = re.findall(r'field "(\w+)"', str(error))
            names = [name for name in environment if name.upper().startswith(PREFIX + field.upper())]
            raise InvalidSettingsError(
                f"The environment or .env does not make sense: a section or list in one variable must be JSON, which "
                f"{' or '.join(names)} is not."
            ) from None
        # They are taken from the environment when a run needs them, so that no stored configuration holds them.
        secrets = {"MYSQL_PASSWORD", "AIRBYTE_CLIENT_SECRET", "AIRBYTE_PASSWORD"}
        for connection in settings.connections.values():
            secrets.update(_references(connection.config))
        for name in secrets & environment.keys():
            os.environ.setdefault(name, environment[name])
        return settings.model_copy(update={"home": folder / settings.home.expanduser()})

    @property
    def mlflow_tracking_uri(self) -> str:
        """Where MLflow keeps runs and models: a server where one is named, else a file under ``home``."""
        if self.mlflow_url:
            return self.mlflow_url
        if self.profile == "production":
            # Without its password, which whoever connects puts in.
            place = f"{quote(str(self.mysql_user), safe='')}@{self.mysql_host}:{self.mysql_port}"
            return f"mysql+pymysql://{place}/{self.mysql_database}_mlflow"
        return f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def data_mode(self) -> str:
        """What the market data is: ``sample`` (recorded, offline) or ``yahoo``. Reports say which."""
        return str(self.connections["market"].config["mode"])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the keyword arguments, which carry what ``bentleybot.yaml`` says, below the environment."""
        return env_settings, dotenv_settings, init_settings

    @field_validator("connections", mode="before")
    @classmethod
    def _fill_in_known_sources(cls, connections: Any) -> Any:
        if not isinstance(connections, Mapping):
            return connections
        return {
            name: {"source": _SOURCES[name], **entry} if name in _SOURCES and isinstance(entry, Mapping) else entry
            for name, entry in connections.items()
        }

    @field_validator("connections")
    @classmethod
    def _market_data_is_labelled(cls, connections: dict[str, Connection]) -> dict[str, Connection]:
        if "market" not in connections:
            raise ValueError("the connection market is missing; without prices there is nothing to do")
        mode = connections["market"].config.get("mode")
        if mode not in _DATA_MODES:
            raise _PlacedError(
                ("market", "config", "mode"),
                f"it says what the prices are and must be {' or '.join(_DATA_MODES)}; given: {_shown(mode)}",
            )
        return connections

    @field_validator("watchlist")
    @classmethod
    def _one_membership_at_a_time(cls, watchlist: tuple[WatchlistEntry, ...]) -> tuple[WatchlistEntry, ...]:
        ordered = sorted(watchlist, key=lambda entry: (entry.symbol, entry.valid_from))
        for earlier, later in itertools.pairwise(ordered):
            if earlier.symbol == later.symbol and (earlier.valid_to or date.max) >= later.valid_from:
                raise ValueError(
                    f"{later.symbol} is listed twice for {later.valid_from}; end the earlier entry with valid_to, "
                    "or remove one"
                )
        return watchlist

    @field_validator("airbyte_api_url")
    @classmethod
    def _is_an_address_without_a_login(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("it must be an address that begins with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "the address must not hold a login, because messages show it; set AIRBYTE_USERNAME and AIRBYTE_PASSWORD"
            )
        return url

    @model_validator(mode="after")
    def _production_has_a_server(self) -> Self:
        if self.profile == "production" and (missing := self._missing_of_mysql()):
            raise ValueError(f"profile production needs {', '.join(missing)} in the environment or .env")
        return self

    @model_validator(mode="after")
    def _airbyte_server_can_be_used(self) -> Self:
        if self.airbyte.mode == "embedded":
            return self
        missing = ["AIRBYTE_API_URL"] * (self.airbyte_api_url is None) + self._missing_of_mysql()
        if missing:
            raise ValueError(
                f"airbyte.mode server needs {', '.join(missing)} in the environment or .env (the MySQL server is where "
                "it delivers to)"
            )
        if self.airbyte.workspace_id is None:
            raise ValueError(
                f"airbyte.mode server needs airbyte.workspace_id ({PREFIX}AIRBYTE__WORKSPACE_ID): the id in the "
                "address of the workspace's page"
            )
        client = self.airbyte_client_id is not None, self.airbyte_client_secret is not None
        user = self.airbyte_username is not None, self.airbyte_password is not None
        if any(client) != all(client) or any(user) != all(user) or (any(client) and any(user)):
            raise ValueError(
                "an Airbyte server is logged in to with AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET, or with "
                "AIRBYTE_USERNAME and AIRBYTE_PASSWORD: set both of one pair and none of the other, or none at all"
            )
        return self

    @model_validator(mode="after")
    def _reads_in_process_what_there_is(self) -> Self:
        if strangers := sorted(set(self.airbyte.embedded) - self.connections.keys()):
            raise ValueError(
                f"airbyte.embedded names {', '.join(strangers)}; the connections are {', '.join(self.connections)}"
            )
        return self

    def _missing_of_mysql(self) -> list[str]:
        named = {
            "MYSQL_HOST": self.mysql_host,
            "MYSQL_USER": self.mysql_user,
            "MYSQL_PASSWORD": self.mysql_password,
            "MYSQL_DATABASE": self.mysql_database,
        }
        return [name for name, value in named.items() if value is None]

    @model_validator(mode="after")
    def _holds_only_what_it_follows(self) -> Self:
        tradable = {entry.symbol for entry in self.watchlist if entry.asset_class != "index"}
        if strangers := sorted(set(self.account.holdings) - tradable):
            raise ValueError(
                f"account.holdings has {', '.join(strangers)}, which the watchlist does not list as equity or etf; "
                "without prices it cannot be valued"
            )
        return self


def _choices() -> list[str]:
    """The keys that ``bentleybot.yaml`` may have: the fields that do not have an environment name of their own."""
    return [name for name, field in Settings.model_fields.items() if field.validation_alias is None]


def _shipped_config() -> Path:
    """The configuration this package brings: inside it when installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / CONFIG_FILE
    return installed if installed.exists() else package.parent / CONFIG_FILE


def _config_file(folder: Path, environment: Mapping[str, str]) -> Path:
    if named := environment.get("BENTLEYBOT_CONFIG"):
        path = folder / Path(named).expanduser()
        if not path.is_file():
            raise InvalidSettingsError(f"BENTLEYBOT_CONFIG names {path}, which is not a file. Mend it or unset it.")
        return path
    path = folder / CONFIG_FILE
    return path if path.exists() else _shipped_config()


def _references(value: Any) -> Iterator[str]:
    """The variables that a configuration refers to as ``{env: NAME}``."""
    if isinstance(value, Mapping):
        if value.keys() == {"env"} and isinstance(value["env"], str):
            yield value["env"]
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _references(entry)


@contextmanager
def _unreadable_named(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidSettingsError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}. Save it with that encoding."
        ) from error
    except OSError as error:
        raise InvalidSettingsError(f"{path} cannot be read: {error.strerror}.") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with _unreadable_named(path):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InvalidSettingsError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        what = "a list" if isinstance(content, list) else f"only {_shown(content)}"
        raise InvalidSettingsError(f"{path} must hold sections of `key: value` lines; it holds {what}.")
    try:
        _refuse_unknown(content, _choices())
    except ValueError as error:
        raise InvalidSettingsError(f"{path}: {error}.") from error
    return content


def _refuse_unknown(given: Mapping[Any, Any], allowed: Mapping[str, Any] | list[str]) -> None:
    if unknown := [str(key) for key in given if key not in allowed]:
        raise ValueError(f"no setting is named {', '.join(unknown)}; allowed here: {', '.join(allowed)}")


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Sections check their own keys; this checks the first word after the prefix."""
    allowed = [f"{PREFIX}{name.upper()}" for name in _choices()]
    for name in environment:
        first_word = name.upper().split("__")[0]
        if name.upper().startswith(PREFIX) and first_word not in {*allowed, *_NOT_SETTINGS}:
            raise InvalidSettingsError(
                f"The environment or .env sets {name}, but no setting has that name; allowed: "
                f"{', '.join([*allowed, *sorted(_NOT_SETTINGS)])}."
            )


def _describe(problem: Mapping[str, Any]) -> str:
    """``policy.buy_at (BENTLEYBOT_POLICY__BUY_AT): what is wrong; given: 2``; without what may be a secret."""
    raised = problem.get("ctx", {}).get("error")
    place = (*problem["loc"], *(raised.below if isinstance(raised, _PlacedError) else ()))
    message = _SHAPES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if not place:
        return f"{message}."
    # Our own messages say themselves what was given.
    if raised is None and _is_public(place, problem["input"]):
        message += f"; given: {_shown(problem['input'])}"
    dotted = ".".join(str(part) for part in place)
    return f"{dotted} ({_variable(place)}): {message}." if place[0] in _choices() else f"{dotted}: {message}."


def _is_public(place: tuple[int | str, ...], given: Any) -> bool:
    """Whether messages may show what was entered: choices of the file, but not how a connection logs in."""
    if place[0] == "connections":
        return place[-1] == "source" and isinstance(given, str)
    return place[0] in _choices()


def _shown(value: Any) -> str:
    """A value as a message shows it: not longer than a line."""
    if value is None:
        return "nothing"
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _variable(place: tuple[int | str, ...]) -> str:
    """The environment variable that sets a place: the nearest one, holding JSON, where a name cannot reach it."""
    words = list(itertools.takewhile(lambda part: re.fullmatch(r"[a-z]+(_[a-z]+)*", str(part)), place))
    name = PREFIX + "__".join(map(str, words)).upper()
    return name if len(words) == len(place) else f"{name}, as JSON"
