"""A desk in a folder of its own: the project's configuration, and commands run in it as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.architecture.test_keys import EXPECTED

PROJECT = Path(__file__).parents[2]
SESSION = "2022-12-28"


@dataclass(frozen=True)
class Desk:
    """A working folder with the project's configuration files, and no state; beside it the home of its user.

    Attributes:
        folder: where commands run; local state appears below it.
        variables: environment variables of the commands, beside PATH and HOME.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fresh(cls, folder: Path, **variables: str) -> Desk:
        """A new desk in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("bentleybot.yaml", "dagster.yaml", "workspace.yaml", "pyproject.toml"):
            shutil.copy(PROJECT / name, folder / name)
        return cls(folder, variables)

    @classmethod
    def on(cls, server: MySqlServer, folder: Path, **variables: str) -> Desk:
        """A new desk that knows nothing but its profile and where the server is."""
        return cls.fresh(folder, **production_variables(server), **variables)

    @property
    def environment(self) -> dict[str, str]:
        """What a command sees: nothing of the tests' own settings."""
        binaries = Path(sys.executable).parent
        return {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.user_home),
            "PYTHONPATH": str(PROJECT),
            "DAGSTER_DISABLE_TELEMETRY": "1",  # as the Makefile has it
            "NO_COLOR": "1",
            "COLUMNS": "160",
            **self.variables,
        }

    @property
    def user_home(self) -> Path:
        """What the commands take for the home of whoever typed them: not the folder, so that it shows what is left."""
        return self.folder.with_name(f"{self.folder.name}-user")

    @property
    def home(self) -> Path:
        """The folder of local state."""
        return self.folder / ".bentleybot"

    def command(self, *arguments: str) -> list[str]:
        """The full command line of a program of this environment."""
        return [str(Path(sys.executable).with_name(arguments[0])), *arguments[1:]]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in the desk's folder."""
        result = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{arguments} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result


def production_variables(server: MySqlServer) -> dict[str, str]:
    """The environment of a desk on a server."""
    return {
        "BENTLEYBOT_PROFILE": "production",
        "MYSQL_HOST": server.host,
        "MYSQL_PORT": str(server.port),
        "MYSQL_USER": server.user,
        "MYSQL_PASSWORD": server.password,
        "MYSQL_DATABASE": server.database,
    }


def differences(server: MySqlServer, embedded: Desk) -> list[str]:
    """Tables of which server and embedded desk differ in any value, orders of :data:`SESSION` included."""
    mysql, parquet = MySqlWarehouse(server), ParquetWarehouse(embedded.home / "warehouse")
    contracts = {key: contract_for(key.split("/")) for key in EXPECTED}
    differing = [key for key, contract in contracts.items() if not mysql.read(contract).equals(parquet.read(contract))]
    day = date.fromisoformat(SESSION)
    orders = Ledger(f"sqlite:///{embedded.home / 'ledger.db'}").orders(day)
    return differing if Ledger(server).orders(day).equals(orders) else [*differing, "the ledger's orders"]
