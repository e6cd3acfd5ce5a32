"""Names for processes that outlive them, so that what a dead one left open can be told from what a live one works at.

Does not belong here: what is closed then, and how (``mlflow``, ``cli``).
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path


def name_of_this_process() -> dict[str, str]:
    """Tags that name this process among all that there ever were: host, id and when it began."""
    return {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "process_started": str(_process_started(os.getpid())),
    }


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that ``tags`` name ran on this machine and is no more.

    False if they name none, or one of another machine: it may be alive there.
    """
    if tags.get("host") != socket.gethostname():
        return False
    return tags["process_started"] != str(_process_started(int(tags["pid"])))


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
