"""The same features in Qlib. These functions run in an environment of their own, which has pyqlib and not us."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks._environment import UnavailableError
from benchmarks._measure import Section, work_folder

EXPRESSIONS = {
    **{f"ret{n}": f"$close/Ref($close,{n})-1" for n in (1, 5, 20, 60)},
    **{f"ma{n}": f"Mean($close,{n})/$close" for n in (5, 20, 60)},
    **{f"std{n}": f"Std($close,{n})/$close" for n in (5, 20)},
    "max20": "Max($high,20)/$close",
    "min20": "Min($low,20)/$close",
    "vr20": "$volume/Mean($volume,20)",
    "corr20": "Corr($close,Log($volume+1),20)",
    "stoch14": "($close-Min($low,14))/(Max($high,14)-Min($low,14))",
}


@contextmanager
def redis() -> Iterator[int]:
    """A Redis server of our own, without which Qlib has no dataset cache; its port.

    Raises:
        UnavailableError: redis-server is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise UnavailableError("Qlib's dataset cache needs redis-server: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=work_folder(), stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def no_cache(section: Section, data: str, output: str | None = None) -> dict[str, Any]:
    """The features computed from Qlib's storage, without any of its caches."""
    return _features(section, data, output, dataset_cache=None, redis_port=0)


def dataset_cache(section: Section, data: str, redis_port: int, output: str | None = None) -> dict[str, Any]:
    """The features from Qlib's dataset cache, which the first call makes and later calls read."""
    return _features(section, data, output, dataset_cache="DiskDatasetCache", redis_port=redis_port)


def _features(
    section: Section, data: str, output: str | None, *, dataset_cache: str | None, redis_port: int
) -> dict[str, Any]:
    import logging

    import qlib
    from qlib.config import C
    from qlib.data import D

    qlib.init(
        provider_uri=data,
        kernels=1,
        expression_cache=None,
        dataset_cache=dataset_cache,
        redis_port=redis_port,
        logging_level=logging.WARNING,
    )
    # Without its Redis server, Qlib would only warn and compute everything.
    assert C["dataset_cache"] == dataset_cache
    with section:
        frame = D.features(
            D.instruments("all"), list(EXPRESSIONS.values()), disk_cache=0 if dataset_cache is None else 1
        )
    frame.columns = list(EXPRESSIONS)
    if output is not None:
        flat = frame.reset_index().rename(columns={"instrument": "symbol", "datetime": "session"})
        flat.to_parquet(output)
    return {"rows": len(frame)}
