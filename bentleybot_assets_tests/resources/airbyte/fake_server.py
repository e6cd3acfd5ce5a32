"""An Airbyte server on loopback: real HTTP, answers in the forms of Airbyte's public API, and syncs that happen.

It remembers definitions, sources, destinations, connections, jobs and STATE. A job moves on whenever it is asked for;
on its way to its end it runs the source in this process, message by message as text, and writes its records into the
raw tables of a MySQL server as destination-mysql 1.1 does: as the user of the destination's configuration, with the
statements that it runs. Tests script what goes wrong.

Does not belong here: what a test expects.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pymysql
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateType,
    AirbyteStreamState,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    StreamDescriptor,
    SyncMode,
)
from airbyte_cdk.sources import Source
from pymysql.cursors import Cursor

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets.resources.airbyte.raw_tables import raw_table_name
from bentleybot_assets_tests.mariadb import MariaDb

MYSQL = {
    "host": "mysql",
    "port": 3306,
    "database": "desk_airbyte",
    "raw_data_schema": "desk_airbyte",
    "username": "airbyte",
    "password": "s3cret-of-the-destination",
    "ssl": False,
    "disable_type_dedupe": True,
}
"""Configuration of a destination that writes to the MySQL server of the tests."""
WORKSPACE = "11111111-1111-4111-8111-111111111111"
CLIENT = ("desk-client", "s3cret-of-the-client")
BASIC = ("desk", "s3cret-of-the-user")
MASK = "**********"
SOURCES: dict[str, type[Source]] = {"market": MarketSource, "portfolio": PortfolioSource, "news": NewsSource}
"""Name of a source to its program."""
AT_ITS_END = ("succeeded", "failed", "cancelled")

Record = dict[str, Any]
"""A raw row before it is written: ``stream``, ``data``, ``extracted_at``."""


@dataclass
class Answer:
    """What is answered instead.

    Attributes:
        status: HTTP status; None closes the connection without a word.
        headers: more headers.
        body: the text.
        is_done: whether the request is carried out all the same.
        until: what is waited for first.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "{}"
    is_done: bool = False
    until: threading.Event | None = None


@dataclass
class Script:
    """How the next jobs go.

    Attributes:
        statuses: what a job is, each time that somebody asks; it stays at the last.
        changed: what becomes of the records on their way into the raw tables.
        keeps_state: whether the STATE that the source sent is kept.
        completes: streams that a job which fails syncs to their end all the same, and of which it keeps the STATE.
        on_poll: called when somebody asks for a job.
    """

    statuses: tuple[str, ...] = ("pending", "running", "succeeded")
    changed: Callable[[list[Record]], list[Record]] = list
    keeps_state: bool = True
    completes: frozenset[str] = frozenset()
    on_poll: Callable[[], None] = lambda: None


class FakeAirbyte:
    """The server's memory.

    Args:
        mysql: where destinations write, whatever host they name.
        auth: ``client``, ``basic`` or ``none``.
    """

    def __init__(self, mysql: MariaDb, auth: str = "client") -> None:
        self.mysql = mysql
        self.auth = auth
        self.sources: dict[str, dict[str, Any]] = {}
        self.destinations: dict[str, dict[str, Any]] = {}
        self.connections: dict[str, dict[str, Any]] = {}
        self.definitions: dict[str, list[dict[str, Any]]] = {"sources": [], "destinations": []}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.script = Script()
        self.requests: list[tuple[str, str]] = []
        self.queries: list[Mapping[str, list[str]]] = []
        self.failures: list[str] = []
        self.instead: list[tuple[str, str, Answer]] = []
        self.is_down = False
        self.declared: Callable[[str, Any], Any] = lambda _, schema: schema
        self.url = ""
        self._tokens: set[str] = set()
        self._ids = 0

    # What tests arrange.

    def answer(self, method: str, path: str, *answers: Answer) -> None:
        """Answer the next requests of a method whose path ends so in another way, one answer each."""
        self.instead += [(method, path, each) for each in answers]

    def answer_to(self, method: str, path: str) -> Answer | None:
        """What was arranged to be answered to a request; from then on it is not any more."""
        for number, (each, where, instead) in enumerate(self.instead):
            if each == method and path.endswith(where):
                del self.instead[number]
                return instead
        return None

    def asked(self, method: str, path: str) -> int:
        """How many requests of a method there were whose path ends so."""
        return sum(each == method and where.endswith(path) for each, where in self.requests)

    def add_connection(self, name: str, config: Mapping[str, Any], streams: Collection[str], **changes: Any) -> str:
        """A connection of some streams as somebody set it up, with a source and a destination of its own; its id."""
        source = self._make("sources", {"name": name, "definitionId": self._id(), "configuration": dict(config)})
        destination = self._make(
            "destinations",
            {
                "name": "warehouse",
                "definitionId": self._id(),
                "configuration": MYSQL | changes.pop("destination", {}),
            },
        )
        selected = [
            {
                "name": stream["streamName"],
                "syncMode": "incremental_append",
                "cursorField": stream["defaultCursorField"],
            }
            for stream in self._discovered(source)
            if stream["streamName"] in streams
        ]
        made = self._make(
            "connections",
            {
                "name": name,
                "sourceId": source["sourceId"],
                "destinationId": destination["destinationId"],
                "configurations": {"streams": selected},
                **changes,
            },
        )
        return str(made["connectionId"])

    def start(self, connection_id: str, kind: str = "sync", *, age: timedelta = timedelta()) -> dict[str, Any]:
        """A job, begun by whoever."""
        number = len(self.jobs) + 1
        job = self.jobs[number] = {
            "jobId": number,
            "connectionId": connection_id,
            "jobType": kind,
            "startTime": f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}",
            "script": self.script,
            "polls": 0,
            "status": self.script.statuses[0],
        }
        if job["status"] in AT_ITS_END:
            self._carry_out(job)
        return job

    # What the API does.

    def handle(  # noqa: PLR0911 - one for each kind of path
        self, method: str, path: str, query: Mapping[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        """Status and content of an answer."""
        parts = tuple(path.removeprefix("/api").removeprefix("/public").removeprefix("/v1/").split("/"))
        match method, parts:
            case "POST", ("applications", "token"):
                return self._token(body)
            case "GET", ("workspaces", workspace):
                return (200, {"workspaceId": WORKSPACE, "name": "Desk"}) if workspace == WORKSPACE else _not_found()
            case _, ("workspaces", _, "definitions", kind, *one):
                return self._definition(method, kind, one, body)
            case "GET", ("streams",):
                return 200, self._discovered(self.sources[query["sourceId"][0]])
            case "POST", ("connections", "get"):
                known = body["connectionId"] in self.connections
                return (200, self._details(self.connections[body["connectionId"]])) if known else _not_found()
            case "POST", ("state", "get"):
                return 200, self._state(body["connectionId"])
            case "POST", ("stream_statuses", "list"):
                return 200, self._stream_statuses(body["connectionId"], body["jobId"])
            case _, ("jobs", *one):
                return self._job(method, one, (path, query), body)
            case _, (("sources" | "destinations" | "connections") as kind, *one):
                return self._thing(method, (kind, *one), (path, query), body)
        return _not_found()

    def _definition(self, method: str, kind: str, one: list[str], body: Any) -> tuple[int, Any]:
        known = self.definitions[kind]
        if method == "GET":
            return 200, {"data": known}
        if method == "POST":
            known.append({"id": self._id(), **body})
            return 200, known[-1]
        (definition,) = [each for each in known if [each["id"]] == one]
        definition.update(body)
        return 200, definition

    def _job(self, method: str, one: list[str], asked: tuple[str, Mapping[str, list[str]]], body: Any) -> Any:
        if not one:
            return (200, self._page(*asked, self._listed(asked[1]))) if method == "GET" else self._post_job(body)
        job = self.jobs[int(one[0])]
        if method == "GET":
            return 200, self._poll(job)
        job["status"], job["script"] = "cancelled", Script(("cancelled",))
        return 200, _shown_job(job)

    def _thing(
        self, method: str, which: tuple[str, ...], asked: tuple[str, Mapping[str, list[str]]], body: Any
    ) -> tuple[int, Any]:
        kind, *one = which
        known = self._all(kind)
        if not one:
            if method == "GET":
                return 200, self._page(*asked, [_masked(each) for each in known.values()])
            return 200, _masked(self._make(kind, body))
        if one[0] not in known:
            return _not_found()
        if method == "PATCH" and "configuration" in body:
            merged = {**known[one[0]]["configuration"], **body["configuration"]}
            known[one[0]].update(body | {"configuration": merged})
        elif method in {"PATCH", "PUT"}:
            known[one[0]].update(body)
        return 200, _masked(known[one[0]])

    def is_allowed(self, authorization: str) -> bool:
        """Whether a request may come in."""
        kind, _, told = authorization.partition(" ")
        if self.auth == "basic":
            return kind == "Basic" and base64.b64decode(told).decode() == ":".join(BASIC)
        return self.auth == "none" or (kind == "Bearer" and told in self._tokens)

    def _token(self, body: Mapping[str, str]) -> tuple[int, Any]:
        if (body["client_id"], body["client_secret"]) != CLIENT:
            return 401, {"title": "unauthorized", "detail": f"{body['client_secret']} is no secret of a client"}
        self._tokens.add(token := f"token-{len(self._tokens)}")
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 180}

    def _page(self, path: str, query: Mapping[str, list[str]], rows: list[Any]) -> dict[str, Any]:
        """A page of a list; the way to the next leads through a host that nobody reaches, as on many servers."""
        limit, offset = int(query.get("limit", ["20"])[0]), int(query.get("offset", ["0"])[0])
        page: dict[str, Any] = {"data": rows[offset : offset + limit]}
        if len(rows) > offset + limit:
            page["next"] = f"http://airbyte.invalid:8006{path}?limit={limit}&offset={offset + limit}"
        return page

    def _all(self, kind: str) -> dict[str, dict[str, Any]]:
        return getattr(self, kind)  # type: ignore[no-any-return]

    def _make(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        id_name = f"{kind.removesuffix('s')}Id"
        defaults: dict[str, Any] = {"workspaceId": WORKSPACE, "createdAt": 1}
        if kind == "connections":
            defaults |= {"status": "active", "prefix": "", "namespaceDefinition": "destination", "tags": []}
        else:
            defaults |= {f"{kind.removesuffix('s')}Type": "mysql" if kind == "destinations" else "custom"}
        made = {**defaults, **body, id_name: self._id()}
        self._all(kind)[made[id_name]] = made
        return made

    def _id(self) -> str:
        self._ids += 1
        return f"00000000-0000-4000-8000-{self._ids:012d}"

    def _catalog(self, source: Mapping[str, Any]) -> AirbyteCatalog:
        return SOURCES[source["name"]]().discover(logging.getLogger("airbyte"), source["configuration"])

    def _details(self, connection: Mapping[str, Any]) -> dict[str, Any]:
        """As the configuration API tells a connection: all streams that its source offers, selected or not."""
        selected = {stream["name"]: stream for stream in connection["configurations"]["streams"]}
        streams = [
            {
                "stream": {
                    "name": stream.name,
                    "jsonSchema": self.declared(stream.name, stream.json_schema),
                    "defaultCursorField": stream.default_cursor_field,
                },
                "config": {
                    "selected": stream.name in selected,
                    "cursorField": selected.get(stream.name, {}).get("cursorField", []),
                },
            }
            for stream in self._catalog(self.sources[connection["sourceId"]]).streams
        ]
        return {"connectionId": connection["connectionId"], "syncCatalog": {"streams": streams}}

    def _discovered(self, source: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "streamName": stream.name,
                "syncModes": ["full_refresh_overwrite", "full_refresh_append", "incremental_append"],
                "defaultCursorField": stream.default_cursor_field,
                "sourceDefinedCursorField": True,
                "sourceDefinedPrimaryKey": stream.source_defined_primary_key,
            }
            for stream in self._catalog(source).streams
        ]

    def _listed(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        since = query.get("createdAtStart", [""])[0]
        jobs = [
            job
            for job in self.jobs.values()
            if job["connectionId"] == query["connectionId"][0] and job["startTime"] >= since
        ]
        return [_shown_job(job) for job in reversed(jobs)]

    def _post_job(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        if body["connectionId"] not in self.connections:
            return _not_found()
        for job in self.jobs.values():
            if job["connectionId"] == body["connectionId"] and job["status"] not in AT_ITS_END:
                return 409, {
                    "status": 409,
                    "title": "state-conflict",
                    "detail": "State conflict",
                    "data": {"message": "A sync is already running."},
                }
        return 200, _shown_job(self.start(body["connectionId"], body["jobType"]))

    def _poll(self, job: dict[str, Any]) -> dict[str, Any]:
        script = job["script"]
        job["polls"] += 1
        status = script.statuses[min(job["polls"], len(script.statuses) - 1)]
        before, job["status"] = job["status"], status
        if status in AT_ITS_END and before not in AT_ITS_END:
            try:
                self._carry_out(job)
            except pymysql.err.Error as error:
                job["status"], job["script"] = "failed", Script(("failed",))
                self.failures.append(str(error))
        script.on_poll()
        return _shown_job(job)

    def _state(self, connection_id: str) -> dict[str, Any]:
        state = self.states.get(connection_id, {})
        told = [{"streamDescriptor": {"name": name}, "streamState": blob} for name, blob in state.items()]
        return {"connectionId": connection_id, "stateType": "stream" if told else "not_set", "streamState": told}

    def _stream_statuses(self, connection_id: str, job_id: int) -> dict[str, Any]:
        """Of two attempts, the first of which completed nothing."""
        job = self.jobs[job_id]
        told = [
            {
                "streamName": stream["name"],
                "jobId": job_id,
                "connectionId": connection_id,
                "attemptNumber": attempt,
                "transitionedAt": 1_700_000_000_000 + attempt,
                "runState": "COMPLETE" if attempt and stream["name"] in job["script"].completes else "INCOMPLETE",
            }
            for attempt in (1, 0)
            for stream in self.connections[connection_id]["configurations"]["streams"]
        ]
        return {"streamStatuses": told}

    # What a sync does.

    def _carry_out(self, job: dict[str, Any]) -> None:
        connection = self.connections[job["connectionId"]]
        state = self.states.get(job["connectionId"], {})
        records, new_state = self._read(connection, state)
        rows = job["script"].changed(records)
        self._load(connection, rows)
        if job["script"].keeps_state:
            self.states[job["connectionId"]] = new_state
        else:
            completed = {name: new_state[name] for name in job["script"].completes}
            self.states[job["connectionId"]] = {**state, **completed}
        job["rowsSynced"], job["bytesSynced"] = len(rows), sum(len(json.dumps(row["data"])) for row in rows)

    def _read(self, connection: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[list[Record], dict[str, Any]]:
        """What the source's process prints: records, and the STATE of each stream at the end."""
        source = self.sources[connection["sourceId"]]
        program, log = SOURCES[source["name"]](), logging.getLogger("airbyte")
        offered = {each.name: each for each in program.discover(log, source["configuration"]).streams}
        catalog = ConfiguredAirbyteCatalog(
            streams=[
                ConfiguredAirbyteStream(
                    stream=offered[each["name"]],
                    sync_mode=SyncMode.incremental,
                    destination_sync_mode=DestinationSyncMode.append,
                    cursor_field=each["cursorField"],
                )
                for each in connection["configurations"]["streams"]
            ]
        )
        records, new_state = [], dict(state)
        for message in program.read(log, source["configuration"], catalog, _messages(state)):
            told = json.loads(AirbyteEntrypoint.airbyte_message_to_string(message))
            if "record" in told:
                record = told["record"]
                extracted_at = datetime.fromtimestamp(record["emitted_at"] / 1000, UTC)
                records.append({"stream": record["stream"], "data": record["data"], "extracted_at": extracted_at})
            elif told["type"] == "STATE":
                of_stream = told["state"]["stream"]
                new_state[of_stream["stream_descriptor"]["name"]] = of_stream["stream_state"]
        return records, new_state

    def _load(self, connection: Mapping[str, Any], rows: list[Record]) -> None:
        """What destination-mysql 1.1.1 does with typed tables off: its check, then each stream's raw table."""
        configuration = self.destinations[connection["destinationId"]]["configuration"]
        place = configuration.get("raw_data_schema") or "airbyte_internal"
        session = pymysql.connect(
            host="127.0.0.1",
            port=self.mysql.port,
            user=configuration["username"],
            password=configuration["password"],
            autocommit=True,
            charset="utf8mb4",
        )
        with contextlib.closing(session), session.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            tried = f"_airbyte_connection_test_{uuid.uuid4().hex}"
            _create_raw_table(cursor, configuration["database"], tried)
            cursor.execute(f"DROP TABLE IF EXISTS `{configuration['database']}`.`{tried}`")
            for stream in connection["configurations"]["streams"]:
                name = raw_table_name(configuration["database"], connection["prefix"] + stream["name"])
                _create_raw_table(cursor, place, name)
                if stream["syncMode"].endswith("_overwrite"):
                    cursor.execute(f"TRUNCATE TABLE `{place}`.`{name}`")
                cursor.executemany(
                    f"INSERT INTO `{place}`.`{name}` (_airbyte_raw_id, _airbyte_data, _airbyte_extracted_at, "  # noqa: S608
                    "_airbyte_loaded_at, _airbyte_meta) VALUES (%s, %s, %s, %s, %s)",
                    [
                        (str(uuid.uuid4()), json.dumps(row["data"]), row["extracted_at"], None, '{"changes": []}')
                        for row in rows
                        if row["stream"] == stream["name"]
                    ],
                )


def _create_raw_table(cursor: Cursor, database: str, name: str) -> None:
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS `{database}`")
    cursor.execute(RAW_TABLE.format(table=f"`{database}`.`{name}`"))
    for index, columns in RAW_INDEXES.items():
        if not cursor.execute(f"SHOW INDEX FROM `{database}`.`{name}` WHERE key_name = '{index}'"):
            cursor.execute(f"CREATE INDEX `{index}` ON `{database}`.`{name}` ({columns})")


RAW_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    _airbyte_raw_id VARCHAR(256) PRIMARY KEY,
    _airbyte_data JSON,
    _airbyte_extracted_at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6),
    _airbyte_loaded_at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6),
    _airbyte_meta JSON
)
"""
"""As destination-mysql 1.1 makes them, and then their indexes."""
RAW_INDEXES = {
    "unloaded_extracted_at": "_airbyte_loaded_at, _airbyte_extracted_at",
    "extracted_at": "_airbyte_extracted_at",
}


class _Handler(BaseHTTPRequestHandler):
    """One request; the memory is the server's attribute ``airbyte``."""

    def _any(self) -> None:
        airbyte: FakeAirbyte = self.server.airbyte  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        airbyte.requests.append((self.command, parts.path))
        if airbyte.is_down:
            self.close_connection = True
        elif not parts.path.endswith("/token") and not airbyte.is_allowed(self.headers.get("Authorization", "")):
            self._say(401, json.dumps({"title": "unauthorized"}))
        else:
            asked = self.command, parts.path, parse_qs(parts.query), body
            airbyte.queries.append(asked[2])
            if (instead := airbyte.answer_to(self.command, parts.path)) is not None:
                self._say_instead(airbyte, instead, asked)
            else:
                status, content = airbyte.handle(*asked)
                self._say(status, json.dumps(content))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - names of http.server

    def _say_instead(self, airbyte: FakeAirbyte, instead: Answer, asked: tuple[Any, ...]) -> None:
        if instead.is_done:
            airbyte.handle(*asked)
        if instead.until is not None:
            instead.until.wait(30)
        if instead.status is None:
            self.close_connection = True
        else:
            self._say(instead.status, instead.body, instead.headers)

    def _say(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        content = text.encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(airbyte: FakeAirbyte) -> Iterator[FakeAirbyte]:
    """The server on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.airbyte = airbyte  # type: ignore[attr-defined]
    airbyte.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield airbyte
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _messages(state: Mapping[str, Any]) -> list[AirbyteStateMessage]:
    return [
        AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=AirbyteStreamState(
                stream_descriptor=StreamDescriptor(name=name), stream_state=AirbyteStateBlob(blob)
            ),
        )
        for name, blob in state.items()
    ]


def _shown_job(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in ("script", "polls")}


def _masked(made: Any) -> Any:
    """As the API tells it: without secrets, however deep they are, and without nulls."""
    if isinstance(made, list):
        return [_masked(each) for each in made]
    if not isinstance(made, Mapping):
        return made
    told = {name: MASK if name in SECRET_SETTINGS else _masked(value) for name, value in made.items()}
    return {name: value for name, value in told.items() if value is not None}


def _secret_settings(schema: Any) -> set[str]:
    """Names of the settings that a spec calls secret."""
    if isinstance(schema, list):
        return set().union(*map(_secret_settings, schema))
    if not isinstance(schema, Mapping):
        return set()
    own = {
        name
        for name, setting in schema.get("properties", {}).items()
        if isinstance(setting, Mapping) and setting.get("airbyte_secret")
    }
    return own.union(*map(_secret_settings, schema.values()))


SECRET_SETTINGS = {"password"}.union(
    *(_secret_settings(each().spec(logging.getLogger()).connectionSpecification) for each in SOURCES.values())
)


def _not_found() -> tuple[int, Any]:
    return 404, {"status": 404, "title": "resource-not-found", "detail": "Could not find a resource for what was asked"}
