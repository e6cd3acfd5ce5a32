"""The API of an Airbyte server: dagster-airbyte's client, but that no slow or failing answer costs or doubles a sync.

What it does otherwise: a job that is ``queued`` is under way; a job that is under way already is waited for instead of
refused; a request to start one whose answer was lost is not sent again before looking whether it started one; a wait
ends; only a job that was surely started here is cancelled; a request that was refused is not sent again, but for 429.

Does not belong here: what becomes of a sync's records (``server``), setting a server up (``provision``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import dagster as dg
import requests
from dagster_airbyte.resources import AIRBYTE_CLOUD_CONFIGURATION_API_BASE, AIRBYTE_CLOUD_REST_API_BASE, AirbyteClient

from bentleybot_assets.resources.airbyte.base import SyncError

UNDER_WAY = frozenset({"pending", "queued", "running", "incomplete"})
_ENDED_BADLY = frozenset({"failed", "cancelled", "error"})
_LOADING = frozenset({"sync", "refresh"})
_RETRIED = frozenset({408, 425, 429})
"""Refusals that say nothing against the request itself."""
_LONGEST_WAIT = 300.0
"""Seconds that a server may ask to be left alone for."""
_LONGEST_DETAIL = 300
_PROGRESS_SECONDS = 10
_MOST_STATUSES = 1000
"""Statuses of a job's streams: there is one per stream and attempt."""
_TOKEN_PATH = "/applications/token"  # noqa: S105 - a path


class AirbyteServerError(SyncError):
    """The server refused a request or did not answer it. The message names server, request and remedy.

    Attributes:
        status: the HTTP status; None if there was no answer that can be read.
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class JobFailedError(SyncError):
    """A job ended without having synced everything. The message names connection, job and remedy.

    Attributes:
        job: the job.
    """

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


@dataclass(frozen=True)
class Job:
    """A job of a connection.

    Attributes:
        id: its number.
        status: as the server calls it.
        kind: ``sync``, ``refresh``, ``clear`` or ``reset``.
        rows, bytes: synced so far, if the server says.
    """

    id: int
    status: str
    kind: str
    rows: int | None
    bytes: int | None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Job:
        """The job that an answer of the API tells of."""
        return cls(told["jobId"], told["status"], told["jobType"], told.get("rowsSynced"), told.get("bytesSynced"))


@dataclass(frozen=True)
class Stream:
    """A stream of a connection.

    Attributes:
        schema: the JSON schema of its records, as its source declares it.
        cursor: its cursor field, if it has one.
    """

    schema: Mapping[str, Any]
    cursor: str | None


class ServerClient(AirbyteClient):
    """Talks to one workspace of one server."""

    @property
    def server(self) -> str:
        """The server's address, without the paths of its APIs."""
        return self.rest_api_base_url.removesuffix("/v1").removesuffix("/api/public")

    @property
    def workspace(self) -> str:
        """Where people see the workspace."""
        is_cloud = self.rest_api_base_url.startswith(AIRBYTE_CLOUD_REST_API_BASE)
        pages = AIRBYTE_CLOUD_CONFIGURATION_API_BASE.removesuffix("/api") if is_cloud else self.server
        return f"{pages}/workspaces/{self.workspace_id}"

    def ask(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """The answer to a request of the public API, asked again while it makes sense.

        Raises:
            AirbyteServerError: it was refused, or not answered.
        """
        return self._single_request(method, f"{self.rest_api_base_url}{path}", data, params)

    def create(self, path: str, data: Mapping[str, Any]) -> Any:
        """Have something made. Asked once: without an answer it may be there, and must not be made twice.

        Raises:
            AirbyteServerError: it was refused, or not answered.
        """
        url = f"{self.rest_api_base_url}{path}"
        with self._named_errors("POST", url):
            return self._answer("POST", url, data)

    def listed(self, path: str) -> list[Mapping[str, Any]]:
        """All of what the workspace has of a kind.

        Raises:
            AirbyteServerError: as for :meth:`ask`.
        """
        params = {"workspaceIds": self.workspace_id}
        return list(self._paginated_request("GET", f"{self.rest_api_base_url}{path}", params))

    def streams(self, connection_id: str) -> dict[str, Stream]:
        """The streams that a connection syncs, by name."""
        catalog = self.get_connection_details(connection_id)["syncCatalog"]
        return {
            told["stream"]["name"]: Stream(
                told["stream"].get("jsonSchema") or {}, next(iter(told["config"].get("cursorField") or []), None)
            )
            for told in catalog["streams"]
            if told["config"].get("selected", False)
        }

    def connection_state(self, connection_id: str) -> dict[str, Any]:
        """Stream to the STATE that its source sent last."""
        told = self._single_request(
            "POST", f"{self.configuration_api_base_url}/state/get", {"connectionId": connection_id}
        )
        return {
            stream["streamDescriptor"]["name"]: stream.get("streamState") or {}
            for stream in told.get("streamState") or []
        }

    def completed_streams(self, connection_id: str, job: Job) -> set[str]:
        """The streams that the last attempt of a job has synced to their end.

        Raises:
            AirbyteServerError: the server does not say.
        """
        asked = {
            "workspaceId": self.workspace_id,
            "connectionId": connection_id,
            "jobId": job.id,
            "pagination": {"pageSize": _MOST_STATUSES, "rowOffset": 0},
        }
        told = self._single_request("POST", f"{self.configuration_api_base_url}/stream_statuses/list", asked)
        newest = {
            status["streamName"]: status["runState"]
            for status in sorted(
                told.get("streamStatuses") or [], key=lambda each: (each["attemptNumber"], each["transitionedAt"])
            )
        }
        return {stream for stream, state in newest.items() if state == "COMPLETE"}

    def sync(self, connection: str, connection_id: str, log: logging.Logger) -> Job:
        """Have a connection synced, and wait until it is.

        Args:
            connection: its name, for messages.
            connection_id: its id.
            log: told how far it is.

        Raises:
            JobFailedError: the job failed or was cancelled.
            SyncError: it took too long, or the server cannot be used.
        """
        place = f"{connection} ({self.workspace}/connections/{connection_id})"
        job, is_ours = self._start(place, connection_id, log)
        told, told_at = None, 0.0
        give_up_at = time.monotonic() + (self.poll_timeout or 0)
        with self._cancelled_on_interrupt(job, log, is_ours=is_ours):
            while job.status != "succeeded":
                job = Job.of(self.get_job_details(job.id))
                if job.status in _ENDED_BADLY:
                    raise JobFailedError(
                        f"{place}: Airbyte job {job.id} ended as {job.status}. See why on the connection's page, mend "
                        "it and run again: what it has loaded is taken then.",
                        job,
                    )
                now = time.monotonic()
                if job != told and (told is None or job.status != told.status or now - told_at >= _PROGRESS_SECONDS):
                    log.info("%s: Airbyte job %d is %s, %s rows so far.", connection, job.id, job.status, job.rows or 0)
                    told, told_at = job, now
                if job.status != "succeeded":
                    if now > give_up_at:
                        self._give_up(place, job, log, is_ours=is_ours)
                    time.sleep(self.poll_interval)
        return job

    def _start(self, place: str, connection_id: str, log: logging.Logger) -> tuple[Job, bool]:
        """Start a job, or find the one under way; and whether it was surely started here."""
        newest_before = max((job.id for job in self._jobs(connection_id)), default=0)
        asked = {"connectionId": connection_id, "jobType": "sync"}
        for attempt in range(self.request_max_retries + 1):
            if attempt:
                time.sleep(self.request_retry_delay)
            try:
                with self._named_errors("POST", self._jobs_url):
                    return Job.of(self._answer("POST", self._jobs_url, asked)), True
            except AirbyteServerError as error:
                if error.status is not None and error.status != HTTPStatus.CONFLICT and not _is_passing(error.status):
                    raise
                problem = error
                if error.retry_after is not None:
                    time.sleep(error.retry_after)
            # It may have been carried out although it was not answered.
            found = [job for job in self._jobs(connection_id) if job.status in UNDER_WAY or job.id > newest_before]
            if found:
                job = max(found, key=lambda job: job.id)
                if job.kind not in _LOADING:
                    raise SyncError(f"{place}: Airbyte job {job.id}, a {job.kind}, is under way. Run again after it.")
                log.info("%s: waiting for Airbyte job %d, which is %s.", place, job.id, job.status)
                return job, False
        raise problem

    def _jobs(self, connection_id: str) -> list[Job]:
        """The jobs of a connection in the last days, in no order."""
        since = datetime.now(UTC) - timedelta(days=2)
        params = {
            "workspaceIds": self.workspace_id,
            "connectionId": connection_id,
            "createdAtStart": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        }
        return [Job.of(told) for told in self._paginated_request("GET", self._jobs_url, params)]

    @property
    def _jobs_url(self) -> str:
        return f"{self.rest_api_base_url}/jobs"

    def _give_up(self, place: str, job: Job, log: logging.Logger, *, is_ours: bool) -> None:
        if is_ours:
            self._cancel(job, log)
        done = "was cancelled" if is_ours else "goes on, as it was not started here"
        raise SyncError(
            f"{place}: Airbyte job {job.id} was still {job.status} after {(self.poll_timeout or 0) / 60:g} minutes and "
            f"{done}. See why on the connection's page, or raise airbyte.sync_minutes, then run again."
        )

    @contextmanager
    def _cancelled_on_interrupt(self, job: Job, log: logging.Logger, *, is_ours: bool) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            if is_ours and self.cancel_on_termination:
                self._cancel(job, log)
            raise

    def _cancel(self, job: Job, log: logging.Logger) -> None:
        try:
            self.cancel_job(job.id)
        except AirbyteServerError as error:
            log.warning("Airbyte job %d could not be cancelled and may go on: %s", job.id, error)
        else:
            log.info("Airbyte job %d was cancelled.", job.id)

    def _single_request(
        self,
        method: str,
        url: str,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        include_additional_request_headers: bool = True,  # noqa: FBT001, FBT002 - the base's signature
    ) -> Any:
        """The answer to a request, asked again while the server is away or busy."""
        import stamina

        def wait(error: Exception) -> bool | float:
            if not isinstance(error, AirbyteServerError) or not _is_passing(error.status):
                return False
            return True if error.retry_after is None else error.retry_after

        if include_additional_request_headers:
            # First, and with attempts of its own: inside those below they would be multiplied.
            self._log_in()
        stamina.instrumentation.set_on_retry_hooks([])  # or it tells of every attempt
        for attempt in stamina.retry_context(
            on=wait,
            attempts=self.request_max_retries + 1,
            timeout=None,
            wait_initial=self.request_retry_delay,
            wait_max=30,
            wait_jitter=self.request_retry_delay,
        ):
            with attempt, self._named_errors(method, url):
                return self._answer(method, url, data, params, is_login=not include_additional_request_headers)
        raise AssertionError  # stamina either returns or raises

    def _answer(
        self,
        method: str,
        url: str,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        is_login: bool = False,
    ) -> Any:
        """The answer to a request, asked once."""
        with self._get_session(include_additional_request_headers=not is_login) as session:
            response = session.request(method, url, json=data, params=params, timeout=self.request_timeout)
            if not response.ok:
                raise AirbyteServerError(
                    self._refusal(method, url, response), response.status_code, _retry_after(response)
                )
            return response.json()

    def _log_in(self) -> None:
        """Get an access token if one is needed and the last is about to end."""
        _ = self.authorization_request_headers

    @contextmanager
    def _named_errors(self, method: str, url: str) -> Iterator[None]:
        """Turn what requests raises when there is no answer, or none that can be read, into ours."""
        try:
            yield
        except requests.RequestException as error:
            if isinstance(error, requests.JSONDecodeError):
                said = "what answers there is no JSON, as behind a login page or a proxy"
            elif isinstance(error, requests.Timeout):
                said = f"no answer within {self.request_timeout} seconds"
            else:
                said = f"no answer ({type(error).__name__})"
            raise AirbyteServerError(
                f"Airbyte at {self.server}: {method} {self._path(url)}: {said}. Check that it runs and that "
                "AIRBYTE_API_URL is its address, then run again: a job that is under way is waited for."
            ) from error

    def _refusal(self, method: str, url: str, response: requests.Response) -> str:
        remedy = {
            401: "Check AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET (or AIRBYTE_USERNAME and AIRBYTE_PASSWORD).",
            403: "These credentials may not do this in this workspace: check airbyte.workspace_id and their rights.",
            404: "It is not there: run `bentleybot airbyte refresh`, and check airbyte.workspace_id.",
            429: "It asks to be left alone for a while: run again later.",
        }.get(response.status_code, "See the server's log.")
        said = self._redacted(_detail(response))
        return (
            f"Airbyte at {self.server}: {method} {self._path(url)} was answered {response.status_code}"
            f"{f' ({said})' if said else ''}. {remedy}"
        )

    def _path(self, url: str) -> str:
        return url.removeprefix(self.server)

    def _redacted(self, text: str) -> str:
        for secret in (self.client_secret, self.password, self._access_token_value):
            text = text.replace(secret, "****") if secret else text
        return text


def _is_passing(status: int | None) -> bool:
    """Whether the same request may be answered later."""
    return status is None or status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _retry_after(response: requests.Response) -> float | None:
    """Seconds to wait, as far as the server says and that is bearable."""
    told = response.headers.get("Retry-After", "").strip()
    if not told:
        return None
    if told.isdigit():
        return min(float(told), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT)


def _detail(response: requests.Response) -> str:
    """What the server says is wrong, in a line."""
    try:
        told = response.json()
    except requests.JSONDecodeError:
        return ""
    if not isinstance(told, Mapping):
        return ""
    data = told.get("data")
    said = (data.get("message") if isinstance(data, Mapping) else None) or told.get("detail") or told.get("message")
    return " ".join(str(said or told.get("title") or "").split())[:_LONGEST_DETAIL]
