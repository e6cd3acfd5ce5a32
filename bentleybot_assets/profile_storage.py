"""Where Dagster keeps its history, whatever the profile: the storage that ``dagster.yaml`` of the project names.

Belongs here: the choice, light to import, because every process of Dagster does so. Does not belong here: production's
storage (``history``), which takes 0.7 CPU seconds and 120 MB along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from bentleybot_assets.settings import Settings


class ProfileStorage(DagsterSqliteStorage):
    """Files below ``base_dir`` for the embedded profile, the MySQL server for production.

    So `dagster dev` and every `dagster` command, with nothing set but what `bentleybot run` needs, have the history
    that `bentleybot run` writes.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> DagsterStorage:
        """Open the storage of the profile that the settings of the working folder state.

        Raises:
            InvalidSettingsError: the settings make no sense.
            bentleybot_assets.history.UnusableHistoryError: the server cannot be used.
        """
        if Settings.load().profile == "embedded":
            return DagsterSqliteStorage.from_config_value(inst_data, config_value)
        from bentleybot_assets.history import MySqlHistory

        return MySqlHistory.from_config_value(inst_data, {})
