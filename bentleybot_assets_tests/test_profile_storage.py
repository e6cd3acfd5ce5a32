from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import serialize_value
from dagster_mysql import MySQLEventLogStorage

from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.settings import InvalidSettingsError
from bentleybot_assets_tests.integration.desk import PROJECT, production_variables


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstanceRef:
    """What `dagster dev` and its like make of the project's dagster.yaml, with no DAGSTER_HOME."""
    monkeypatch.chdir(tmp_path)
    return InstanceRef.from_dir(str(tmp_path), config_dir=str(PROJECT))


def test_the_history_of_the_embedded_profile_is_in_files(reference: InstanceRef, tmp_path: Path) -> None:
    with dg.DagsterInstance.from_ref(reference) as instance:
        assert isinstance(instance.event_log_storage, SqliteEventLogStorage)
    assert (tmp_path / ".bentleybot" / "dagster" / "history" / "runs.db").exists()


def test_the_history_of_the_production_profile_is_on_its_server(
    reference: InstanceRef, mysql_server: MySqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in production_variables(mysql_server).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_ref(reference) as instance:
        assert isinstance(instance.event_log_storage, MySQLEventLogStorage)
        assert instance.event_log_storage.mysql_url.partition("?")[0].endswith("/desk_dagster")
        # It is on the command lines of all that Dagster starts.
        assert mysql_server.password not in serialize_value(instance.get_ref())
    assert not (tmp_path / ".bentleybot" / "dagster" / "history").exists()


def test_a_production_without_a_server_is_no_history_in_files(
    reference: InstanceRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTLEYBOT_PROFILE", "production")
    with pytest.raises(InvalidSettingsError, match="profile production needs MYSQL_HOST"):
        dg.DagsterInstance.from_ref(reference)
    assert not (tmp_path / ".bentleybot").exists()
