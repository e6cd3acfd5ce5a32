"""TLS to the server, all the way: tables, ledger, Dagster's history, MLflow's runs and backups, against a server that
takes nothing in clear.

Its certificate is for 127.0.0.1 alone, so that it is one for another name where MYSQL_HOST is localhost.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import dagster as dg
import pytest
import sqlalchemy as sa
import trustme
from mlflow.store.db.utils import create_sqlalchemy_engine
from pymysql.err import OperationalError
from sqlalchemy.engine import make_url

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.databases import SUFFIXES
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.mysql_engine import engine_url
from bentleybot_assets.resources.mlflow import MySqlMlflow, TrackingServerError
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.integration.desk import PROJECT, SESSION, Desk, production_variables
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record
from bentleybot_assets_tests.mariadb import MYSQLD, PASSWORD, MariaDb, running
from bentleybot_assets_tests.warehouse.tables import MONDAY, labels

MODES = ("required", "verify_ca", "verify_identity")
VERIFYING = ("verify_ca", "verify_identity")
Act = Callable[[MySqlServer], None]


# --- the server


@dataclass(frozen=True)
class Authority:
    """A CA and what it signed, as PEM files."""

    folder: Path

    @classmethod
    def new(cls, folder: Path) -> Authority:
        folder.mkdir()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        for name, issued in {"server": ca.issue_cert("127.0.0.1"), "client": ca.issue_cert("desk@example.org")}.items():
            issued.private_key_pem.write_to_path(str(folder / f"{name}-key.pem"))
            issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        return cls(folder)

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    @property
    def client(self) -> dict[str, str]:
        """The options of a client that has a certificate."""
        return {"ssl_cert": self.file("client"), "ssl_key": self.file("client-key")}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody here trusts."""
    return Authority.new(tmp_path_factory.mktemp("authority") / "stranger")


@pytest.fixture(scope="module")
def encrypted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A server that takes nothing in clear."""
    options = (
        f"--ssl-ca={authority.file('ca')}",
        f"--ssl-cert={authority.file('server')}",
        f"--ssl-key={authority.file('server-key')}",
        "--require-secure-transport=ON",
    )
    with running(MariaDb(tmp_path_factory.mktemp("encrypted"), options=options)) as server:
        yield server


@pytest.fixture(scope="module")
def desk(encrypted: MariaDb, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose databases were made over verified TLS."""
    server = replace(
        encrypted.database("desk"), options={"ssl_mode": "verify_identity", "ssl_ca": authority.file("ca")}
    )
    desk = Desk.fresh(tmp_path_factory.mktemp("tls") / "desk", **variables_of(server))
    desk.run("bentleybot", "db", "upgrade")
    return desk


@pytest.fixture
def server(desk: Desk, encrypted: MariaDb) -> MySqlServer:
    """An account in the desk's databases; tests add the options."""
    return MySqlServer("127.0.0.1", encrypted.port, "desk", PASSWORD, "desk")


def variables_of(server: MySqlServer) -> dict[str, str]:
    """What an environment says of a server, options included."""
    options = {f"BENTLEYBOT_MYSQL__{name.upper()}": value for name, value in server.options.items()}
    return {**production_variables(server), **options}


# --- the four that connect to it


def tables(server: MySqlServer) -> None:
    warehouse, frame = MySqlWarehouse(server), labels(MONDAY)
    warehouse.publish(Labels, frame)
    assert warehouse.read(Labels).equals(frame)


def ledger(server: MySqlServer) -> None:
    record(Ledger(server), FIRST, intents(FIRST, AAPL=3))
    assert Ledger(server).orders(FIRST)["symbol"].to_list() == ["AAPL"]


@dg.asset
def noted() -> None:
    """Nothing to do."""


def history(server: MySqlServer) -> None:
    """As webserver and daemon open it."""
    with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, variables_of(server)):
        shutil.copy(PROJECT / "docker" / "dagster.yaml", home)
        with dg.DagsterInstance.from_config(home) as instance:
            result = dg.materialize([noted], instance=instance)
            assert result.success
            assert instance.get_latest_materialization_event(noted.key).run_id == result.run_id
            assert server.password not in dg.serialize_value(instance.get_ref())


def mlflow_of(server: MySqlServer) -> MySqlMlflow:
    return MySqlMlflow(
        tracking_uri="mysql://shown", artifact_root="/never/written/to", account=MySqlAccount(**asdict(server))
    )


def runs(server: MySqlServer) -> None:
    context = SimpleNamespace(
        asset_key=dg.AssetKey(["models", "return_forecaster"]),
        run=SimpleNamespace(run_id=str(uuid.uuid4())),
        instance=dg.DagsterInstance.ephemeral(),
    )
    with mlflow_of(server).training_run(context) as run:
        run.log_metrics({"rank_ic": 0.02})
        assert run.tracking_client.get_run(run.mlflow_run_id).data.metrics == {"rank_ic": 0.02}


ALL = (tables, ledger, history, runs)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the project is read."""
    monkeypatch.chdir(tmp_path)


def refusal(act: Act, server: MySqlServer) -> str:
    """The one error of an act: one line that names the account, and not the password."""
    with pytest.raises((MySqlError, LedgerError, TrackingServerError)) as refused:
        act(server)
    message = str(refused.value)
    assert server.shown.split("/")[0] in message
    assert server.password not in message
    assert "\n" not in message
    return message


# --- what they do under TLS


@pytest.mark.parametrize("act", ALL)
@pytest.mark.parametrize("mode", MODES)
def test_each_mode_encrypts_each_connection(
    server: MySqlServer, encrypted: MariaDb, authority: Authority, act: Act, mode: str
) -> None:
    def handshakes() -> tuple[int, int]:
        """Connections so far, and how many of them were encrypted, as the one that asks is."""
        told = dict(encrypted.as_root("SHOW GLOBAL STATUS WHERE Variable_name IN ('Connections', 'Ssl_accepts')"))
        return int(told["Connections"]), int(told["Ssl_accepts"])

    before = handshakes()
    act(replace(server, options={"ssl_mode": mode, "ssl_ca": authority.file("ca")}))
    connections, encrypted_ones = (now - then for now, then in zip(handshakes(), before, strict=True))
    assert encrypted_ones == connections > 1


@pytest.mark.parametrize("act", ALL)
def test_where_nothing_is_said_what_the_server_offers_is_taken(server: MySqlServer, act: Act) -> None:
    act(server)


@pytest.mark.parametrize("act", ALL)
@pytest.mark.parametrize("mode", VERIFYING)
def test_a_server_of_another_ca_is_refused_and_told_so(
    server: MySqlServer, stranger: Authority, act: Act, mode: str
) -> None:
    message = refusal(act, replace(server, options={"ssl_mode": mode, "ssl_ca": stranger.file("ca")}))
    assert "certificate verify failed" in message
    assert "(error 2026). Set ssl_ca to the CA that signed the server's certificate" in message


@pytest.mark.parametrize("act", ALL)
def test_a_ca_that_is_named_without_a_mode_is_verified_by(server: MySqlServer, stranger: Authority, act: Act) -> None:
    assert "certificate verify failed" in refusal(act, replace(server, options={"ssl_ca": stranger.file("ca")}))


@pytest.mark.parametrize("act", ALL)
def test_a_certificate_for_another_name_is_refused_by_verify_identity_alone(
    server: MySqlServer, authority: Authority, act: Act
) -> None:
    elsewhere = replace(server, host="localhost", options={"ssl_mode": "verify_ca", "ssl_ca": authority.file("ca")})
    act(elsewhere)
    message = refusal(act, replace(elsewhere, options={**elsewhere.options, "ssl_mode": "verify_identity"}))
    assert "certificate is not valid for 'localhost'" in message
    assert "set MYSQL_HOST to one of its names, or ssl_mode to verify_ca." in message


@pytest.mark.parametrize("act", ALL)
def test_disabled_is_told_to_a_server_that_takes_nothing_in_clear(server: MySqlServer, act: Act) -> None:
    message = refusal(act, replace(server, options={"ssl_mode": "disabled"}))
    # MySQL says what is wrong; MariaDB denies access, as it does a wrong password.
    assert "A server that requires TLS says the same: if this one does, set ssl_mode to required." in message or (
        message.endswith("(error 3159). Set ssl_mode to required.")
    )


@pytest.mark.skipif(MYSQLD is not None, reason="MySQL makes itself a certificate")
@pytest.mark.parametrize("act", ALL)
def test_a_server_without_tls_is_refused_where_tls_is_asked_for(mysql_server: MySqlServer, act: Act) -> None:
    message = refusal(act, replace(mysql_server, options={"ssl_mode": "required"}))
    assert "The server offers no TLS: switch it on there, or set ssl_mode to disabled." in message


@pytest.fixture
def known_by_certificate(encrypted: MariaDb, server: MySqlServer) -> MySqlServer:
    """An account that must show a certificate."""
    encrypted.account("holder", PASSWORD, requires="X509")
    encrypted.as_root(*(f"GRANT ALL ON `desk{each}`.* TO 'holder'@'127.0.0.1'" for each in SUFFIXES.values()))
    return replace(server, user="holder")


@pytest.mark.parametrize("act", ALL)
@pytest.mark.parametrize("mode", ["required", "verify_identity"])
def test_an_account_that_must_show_a_certificate_shows_it(
    known_by_certificate: MySqlServer, authority: Authority, act: Act, mode: str
) -> None:
    act(replace(known_by_certificate, options={"ssl_mode": mode, "ssl_ca": authority.file("ca"), **authority.client}))


@pytest.mark.parametrize("act", ALL)
def test_an_account_that_must_show_a_certificate_and_does_not_is_told_so(
    known_by_certificate: MySqlServer, authority: Authority, act: Act
) -> None:
    message = refusal(act, replace(known_by_certificate, options={"ssl_ca": authority.file("ca")}))
    assert (
        "(error 1045). Check MYSQL_USER and MYSQL_PASSWORD. If this account requires a client's certificate" in message
    )


@pytest.mark.parametrize("act", ALL)
def test_a_certificate_that_the_server_does_not_know_is_told_apart(
    known_by_certificate: MySqlServer, authority: Authority, stranger: Authority, act: Act
) -> None:
    message = refusal(act, replace(known_by_certificate, options={"ssl_ca": authority.file("ca"), **stranger.client}))
    assert message.endswith(
        "A server that does not know the CA of ssl_cert ends the connection: see that this one does."
    )


def test_a_server_that_goes_away_in_the_handshake_is_not_taken_for_one_that_is_not_trusted(server: MySqlServer) -> None:
    said = "Can't connect ([SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006))"
    assert server.explained(OperationalError(2003, said), "any").code == 2003


def test_a_table_is_read_in_columns_unless_a_certificate_must_be_shown(
    server: MySqlServer, known_by_certificate: MySqlServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"ssl_mode": "verify_identity", "ssl_ca": authority.file("ca")}
    frame = labels(MONDAY)
    MySqlWarehouse(server).publish(Labels, frame)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_read_rows", None)
        assert MySqlWarehouse(replace(server, options=options)).read(Labels).equals(frame)
    monkeypatch.setattr(transfer, "_read_columns", None)
    shown = replace(known_by_certificate, options={**options, **authority.client})
    assert MySqlWarehouse(shown).read(Labels).equals(frame)


# --- what the drivers do with nothing but an address


@pytest.mark.parametrize("mode", VERIFYING)
def test_an_engine_made_of_nothing_but_the_address_verifies(
    server: MySqlServer, authority: Authority, stranger: Authority, mode: str
) -> None:
    def opened(server: MySqlServer, options: dict[str, str], host: str = "127.0.0.1") -> None:
        known = replace(server, options={"ssl_mode": mode, "ssl_ca": authority.file("ca")})
        address = make_url(engine_url(known, "of nothing")).update_query_dict(options).set(host=host)
        with sa.create_engine(address).connect():
            pass

    opened(server, {})
    with pytest.raises(MySqlError, match="certificate verify failed"):
        opened(server, {"ssl_ca": stranger.file("ca")})
    if mode == "verify_identity":
        with pytest.raises(MySqlError, match="not valid for 'localhost'"):
            opened(server, {}, host="localhost")


@pytest.mark.sweep  # connectorx tries for half a minute
@pytest.mark.parametrize("mode", VERIFYING)
def test_the_address_that_connectorx_is_given_verifies_by_itself(
    server: MySqlServer, authority: Authority, stranger: Authority, mode: str
) -> None:
    def read(server: MySqlServer) -> None:
        transfer._read_columns(server, "SELECT 1", "none")

    known, unknown = ({"ssl_mode": mode, "ssl_ca": each.file("ca")} for each in (authority, stranger))
    read(replace(server, options=known))
    with pytest.raises(MySqlError, match="certificate verify failed"):
        read(replace(server, options=unknown))
    if mode == "verify_identity":
        with pytest.raises(MySqlError, match="certificate verify failed"):
            read(replace(server, options=known, host="localhost"))


def test_mlflows_own_variables_cannot_undo_the_verification(
    server: MySqlServer, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_MYSQL_SSL_CA", authority.file("ca"))
    known = replace(server, options={"ssl_ca": authority.file("ca")})
    address = make_url(engine_url(known, "of nothing")).update_query_dict({"ssl_ca": stranger.file("ca")})
    with pytest.raises(MySqlError, match="certificate verify failed"):
        create_sqlalchemy_engine(address.render_as_string(hide_password=False)).connect()


def test_any_password_opens_history_and_runs(server: MySqlServer, encrypted: MariaDb) -> None:
    password = "a b+c@:/%40'пароль😀"  # noqa: S105 - of this test's server
    encrypted.account("odd", password)
    encrypted.as_root(*(f"GRANT ALL ON `desk{each}`.* TO 'odd'@'127.0.0.1'" for each in SUFFIXES.values()))
    for act in (history, runs):
        act(replace(server, user="odd", password=password))


# --- options that make no sense


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"ssl_mode": "verify"},
            "ssl_mode is verify; it must be one of disabled, required, verify_ca, verify_identity.",
        ),
        ({"ssl_mode": "verify_ca"}, "ssl_mode verify_ca needs ssl_ca"),
        ({"ssl_mode": "verify_identity"}, "ssl_mode verify_identity needs ssl_ca"),
        ({"ssl_cert": "client.pem"}, "ssl_cert and ssl_key go together"),
        ({"ssl_key": "client-key.pem"}, "ssl_cert and ssl_key go together"),
        ({"ssl_crl": "crl.pem"}, "There is no MySQL option ssl_crl"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(server: MySqlServer, options: dict[str, str], said: str) -> None:
    with pytest.raises(MySqlError, match=re.escape(said)):
        replace(server, options=options)


def test_the_command_tells_what_makes_no_sense_in_one_line(desk: Desk) -> None:
    wrong = replace(desk, variables={**desk.variables, "BENTLEYBOT_MYSQL__SSL_MODE": "verify"})
    refused = wrong.run("bentleybot", "table", "models/labels", check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("ssl_mode is verify; it must be one of")


def test_a_file_that_cannot_be_used_is_named(server: MySqlServer, authority: Authority, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("not a certificate")
    for file in (nonsense, tmp_path / "missing.pem"):
        for act in ALL:
            assert f"ssl_ca {file} cannot be used" in refusal(act, replace(server, options={"ssl_ca": str(file)}))
    mixed = {**authority.client, "ssl_key": authority.file("server-key")}
    assert f"ssl_key {authority.file('server-key')} cannot be used" in refusal(tables, replace(server, options=mixed))


# --- commands


def test_the_command_works_over_verified_tls(desk: Desk) -> None:
    assert "none is open for the newest session" in desk.run("bentleybot", "doctor").stdout


@pytest.mark.sweep
def test_a_session_runs_over_verified_tls(desk: Desk) -> None:
    assert "48 passed, 0 failed" in desk.run("bentleybot", "run", "--session", SESSION).stdout


def test_a_backup_is_made_and_restored_over_verified_tls(
    desk: Desk, server: MySqlServer, encrypted: MariaDb, stranger: Authority, tmp_path: Path
) -> None:
    tables(server)
    archive = tmp_path / "desk.tar.gz"
    distrusting = replace(desk, variables={**desk.variables, "BENTLEYBOT_MYSQL__SSL_CA": stranger.file("ca")})
    refused = distrusting.run("bentleybot", "backup", str(archive), check=False)
    assert refused.returncode == 2
    assert "certificate verify failed" in refused.stderr
    desk.run("bentleybot", "backup", str(archive))

    encrypted.database("elsewhere")
    copy = Desk.fresh(tmp_path / "copy", **{**desk.variables, "MYSQL_DATABASE": "elsewhere"})
    copy.run("bentleybot", "restore", str(archive))
    assert MySqlWarehouse(server.at("elsewhere")).read(Labels).equals(labels(MONDAY))
