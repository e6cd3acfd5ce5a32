"""The MySQL account of a production deployment, as a Dagster resource that others share.

Does not belong here: what is kept in its databases (``warehouse``, ``ledger``, ``mlflow``).
"""

from __future__ import annotations

import dagster as dg

from bentleybot_assets.mysql import MySqlServer


class MySqlAccount(dg.ConfigurableResource):  # type: ignore[type-arg]
    """An account on a server.

    Attributes:
        host: name, address, or the path of a socket.
        port: TCP port.
        user: account name.
        password: its password: an environment variable, so that no configuration that Dagster stores or shows holds it.
        database: database of tables and ledger; ``<database>_dagster`` and ``<database>_mlflow`` are beside it.
        options: time-outs and TLS, see :class:`bentleybot_assets.mysql.MySqlServer`.
    """

    host: str
    port: int
    user: str
    password: str
    database: str
    options: dict[str, str]

    def server(self) -> MySqlServer:
        """The server, nothing opened."""
        return MySqlServer(self.host, self.port, self.user, revealed(self.password), self.database, self.options)


def revealed(secret: str) -> str:
    """A secret that Dagster has not resolved, because it is used outside of a run."""
    return str(secret.get_value()) if isinstance(secret, dg.EnvVar) else secret
