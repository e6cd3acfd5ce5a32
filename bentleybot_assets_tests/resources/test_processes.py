"""What one process does alone, another waits for; a process that dies holds nobody up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from bentleybot_assets.resources.processes import alone

HOLD = """
import sys
from pathlib import Path
from bentleybot_assets.resources.processes import alone

with alone(Path(sys.argv[1]), "session 2022-12-28", before_waiting=print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_whoever_comes_second_is_told_who_is_at_work_and_goes_on_when_that_process_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "home" / "lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(file)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        told = []

        def kill_it(holder: str) -> None:
            told.append(holder)
            other.kill()

        with alone(file, "session 2022-12-29", before_waiting=kill_it):
            assert told == [f"process {other.pid} on {socket.gethostname()}, session 2022-12-28"]
            assert file.read_text() == f"process {os.getpid()} on {socket.gethostname()}, session 2022-12-29\n"


def test_nobody_waits_for_work_that_is_done(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with alone(tmp_path / "lock", "work", before_waiting=told.append):
            pass
    assert told == []
