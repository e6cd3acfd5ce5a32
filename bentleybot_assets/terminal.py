"""What the commands share: where they print, and how they end when something cannot be done.

Does not belong here: any command (``cli``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from bentleybot_assets.backup import BackupError
from bentleybot_assets.mysql import MySqlError
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.restoring import UnfinishedRestoreError
from bentleybot_assets.settings import InvalidSettingsError, Settings

out = Console()
err = Console(stderr=True)


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    err.print(f"[red]{escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(2)


def load_settings() -> Settings:
    """The settings of the working folder; what is wrong with them ends the command."""
    try:
        return Settings.load()
    except InvalidSettingsError as error:
        fail(str(error))


@contextmanager
def explained() -> Iterator[None]:
    """End the command with one line where what it works with cannot be used: the message says what to do."""
    from sqlalchemy.exc import DBAPIError

    from bentleybot_assets.ledger.engines import LedgerError

    try:
        yield
    except (BackupError, LedgerError, MySqlError, SyncError, UnfinishedRestoreError) as error:
        fail(str(error))
    except DBAPIError as error:
        # The ledger and the warehouse say it themselves, and the engines of a server in the error's detail.
        fail(
            " ".join(error.detail)
            or f"The database of Dagster's history or MLflow's runs refuses: {error.orig}. `bentleybot db upgrade` "
            "creates what is missing there."
        )
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}. Mend that, or set `home` in bentleybot.yaml to another folder.")
