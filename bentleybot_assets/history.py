"""Dagster's own storage in production: dagster-mysql, on the server and with the TLS that the settings state.

Belongs here: the class that ``dagster.yaml`` names. Does not belong here: what Dagster keeps there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from dagster._serdes import ConfigurableClassData
from dagster_mysql import DagsterMySQLStorage

from bentleybot_assets.deployment import mysql_account
from bentleybot_assets.mysql import MySqlError
from bentleybot_assets.mysql_engine import engine_url
from bentleybot_assets.settings import Settings


class UnusableHistoryError(MySqlError, click.ClickException):
    """The history cannot be opened. Of an error of this kind Dagster's commands show the message alone."""

    exit_code = 2

    def __init__(self, message: str, code: int = 0) -> None:
        MySqlError.__init__(self, message, code)
        click.ClickException.__init__(self, message)


class MySqlHistory(DagsterMySQLStorage):
    """Storage without a configuration of its own, so that none that is stored or passed on holds a password.

    dagster-mysql's own driver is not used: it verifies a server's certificate by every CA of the machine.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterMySQLStorage:
        """Open the storage.

        Raises:
            UnusableHistoryError: the settings name no server, or it cannot be used.
        """
        del config_value
        settings = Settings.load()
        if settings.profile != "production":
            raise UnusableHistoryError(
                f"dagster.yaml keeps Dagster's history on a MySQL server, but the profile is {settings.profile}. Set "
                "BENTLEYBOT_PROFILE=production and the MYSQL_* variables, or unset DAGSTER_HOME."
            )
        try:
            server = mysql_account(settings).server()
            return cls(engine_url(server.at(f"{server.database}_dagster"), "of Dagster's history"), inst_data)
        except MySqlError as error:
            raise UnusableHistoryError(str(error), error.code) from error
