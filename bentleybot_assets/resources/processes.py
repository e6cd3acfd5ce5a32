"""How processes know of each other.

By names that outlive them, so that what a dead one left open can be told from what a live one works at; and by doing
alone, while others wait, what two must not do at once.

Does not belong here: what is closed then, and how, or what the work is (``mlflow``, ``cli``).
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def name_of_this_process(prefix: str = "") -> dict[str, str]:
    """Tags that name this process among all that there ever were: host, id and when it began.

    Args:
        prefix: what their names begin with.
    """
    return {
        f"{prefix}host": socket.gethostname(),
        f"{prefix}pid": str(os.getpid()),
        f"{prefix}process_started": str(_process_started(os.getpid())),
    }


def is_gone(tags: Mapping[str, str], prefix: str = "") -> bool:
    """Whether the process that ``tags`` name ran on this machine and is no more.

    False if they name none, or one of another machine: it may be alive there.
    """
    if tags.get(f"{prefix}host") != socket.gethostname():
        return False
    return tags[f"{prefix}process_started"] != str(_process_started(int(tags[f"{prefix}pid"])))


@contextmanager
def alone(file: Path, work: str, *, before_waiting: Callable[[str], None]) -> Iterator[None]:
    """Do what is inside while no other process holds ``file``; the kernel takes it back from a process that dies.

    Args:
        file: created where it is missing; says who holds it.
        work: what this process does, for others to read.
        before_waiting: told who holds the file, if somebody does.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            before_waiting(handle.read().strip())
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}, {work}\n")
        handle.flush()
        yield


def _process_started(pid: int) -> str | None:
    """When a process of this machine began: with its id that names it. None if there is no such process."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a number
        return listed.stdout.strip() or None
    try:
        # After the command, which may hold anything; state and start time are fields 3 and 22 of proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    is_dead = fields[0] in "ZX"
    return None if is_dead else f"{boot.read_text().strip()}/{fields[19]}"
