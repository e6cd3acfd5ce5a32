"""Servers that a test starts as an operator does, and ends.

Does not belong here: what becomes of what is asked of them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ENDS_WITHIN_SECONDS = 30


def free_port() -> int:
    """A port on loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: list[str], *, folder: Path, environment: dict[str, str], log: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs in ``folder`` and writes to ``log``; given out once it listens at ``port`` on loopback."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Some launchers ignore it, which is inherited; `dagster dev` shuts down when it is interrupted.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread is at work
        )
    try:
        until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()}"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listens(port: int) -> bool:
    """Whether a server is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answer(url: str, body: Mapping[str, Any] | None = None, **headers: str) -> tuple[int, str]:
    """Status and text of what a server answers to a GET, or to a POST of ``body`` as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def graphql(port: int, query: str) -> dict[str, Any]:
    """What Dagster's webserver on loopback answers."""
    said = json.loads(answer(f"http://127.0.0.1:{port}/graphql", {"query": query})[1])
    assert "errors" not in said, said
    return said["data"]


def until(found: Callable[[], T]) -> T:
    """Ask again and again until the answer is not empty; a test's time limit ends it otherwise."""
    while not (told := found()):
        time.sleep(0.1)
    return told
