"""``bentleybot airbyte``: what is known of the Airbyte server, and setting it up.

Does not belong here: what the server is asked (``resources.airbyte``).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bentleybot_assets.deployment import airbyte_connections, mysql_account, resources_of
from bentleybot_assets.resources.airbyte.configuration import with_secrets
from bentleybot_assets.settings import Settings
from bentleybot_assets.terminal import explained, fail, load_settings, out

if TYPE_CHECKING:
    from bentleybot_assets.resources.airbyte.server import ServerAirbyte

app = typer.Typer(no_args_is_help=True, help="The Airbyte server that carries out the connections.")


@app.command()
@explained()
def refresh() -> None:
    """Ask the server which connections it has, and save that for the code location and runs."""
    _refresh(_server(load_settings()))


@app.command()
@explained()
def provision(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be.")] = False,
    send_secrets: Annotated[
        bool,
        typer.Option(
            "--send-secrets", help="Send all configurations again: the server does not tell whether a secret differs."
        ),
    ] = False,
) -> None:
    """Create or mend the sources, the MySQL destination and the connections on the server."""
    from bentleybot_assets.resources.airbyte.provision import WantedSource, provision

    settings = load_settings()
    airbyte = _server(settings)
    sources = [
        WantedSource(
            name=name,
            config=with_secrets(name, connection.config),
            image=f"{settings.airbyte.images}/source-{name}",
            version=version("bentleybot-assets"),
        )
        for name, connection in sorted(airbyte_connections(settings).items())
        if name in airbyte.modes
    ]
    lines = provision(airbyte.client(), sources, _destination(settings), dry_run=dry_run, sends_secrets=send_secrets)
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not dry_run:
        _refresh(airbyte)


def _server(settings: Settings) -> ServerAirbyte:
    if settings.airbyte.mode == "embedded":
        fail(
            "The connections are read in process: there is no Airbyte server to ask. Set airbyte.mode to server in "
            "bentleybot.yaml, and AIRBYTE_API_URL."
        )
    from bentleybot_assets.resources.airbyte.mixed import MixedAirbyte

    airbyte = resources_of(settings)["airbyte"]
    return airbyte.server if isinstance(airbyte, MixedAirbyte) else airbyte  # type: ignore[no-any-return]


def _refresh(airbyte: ServerAirbyte) -> None:
    workspace = airbyte.refresh(airbyte.modes)
    for connection in workspace.connections:
        if connection.name in airbyte.modes:
            streams = ", ".join(connection.streams) or "no stream"
            out.print(f"{connection.name}: {streams} ({connection.url})", highlight=False, soft_wrap=True)
    if missing := sorted(airbyte.modes.keys() - {connection.name for connection in workspace.connections}):
        fail(
            f"Workspace {workspace.workspace_id} of {workspace.server} has no connection named {', '.join(missing)}. "
            "`bentleybot airbyte provision` makes what is missing."
        )


def _destination(settings: Settings) -> dict[str, Any]:
    """The configuration of destination-mysql for the desk's own server: a database that Airbyte has to itself.

    Its namespace is this database, too: the destination makes and drops a table there to see whether it may.
    """
    from bentleybot_assets.resources.airbyte.raw_tables import raw_database, set_up

    server = mysql_account(settings).server()
    database = raw_database(server.database)
    user, password = settings.airbyte_mysql_user, settings.airbyte_mysql_password
    if user is None or password is None or user == server.user:
        statements = "\n".join(set_up(database, destination="airbyte", desk=server.user))
        fail(
            "Airbyte writes as a MySQL user of its own, who can do nothing to the desk's tables: set "
            "AIRBYTE_MYSQL_USER (another than MYSQL_USER) and AIRBYTE_MYSQL_PASSWORD. An administrator of "
            f"{server.host} must have run, with the hosts that the two connect from in place of %:\n{statements}"
        )
    return {
        "host": settings.airbyte.mysql_host or server.host,
        "port": server.port,
        "database": database,
        "raw_data_schema": database,
        "username": user,
        "password": password.get_secret_value(),
        "ssl": server.settled("of Airbyte's destination").ssl_mode != "disabled",
        "disable_type_dedupe": True,
        "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
    }
