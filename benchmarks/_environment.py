"""Python environments of their own, for what is compared and cannot be installed beside us."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks._measure import work_folder


class UnavailableError(Exception):
    """Something that a comparison needs is not on this machine."""


def environment(name: str) -> Path:
    """The Python of an environment that holds what ``<name>.lock`` says, with hashes; made if it is not there.

    Raises:
        UnavailableError: there is no uv, or the packages cannot be installed.
    """
    lock = Path(__file__).with_name(f"{name}.lock")
    folder = work_folder() / f"{name}-venv"
    python = folder / "bin" / "python"
    stamp = folder / "lock.sha256"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise UnavailableError(f"{name} needs uv for an environment of its own: pip install uv")
    shutil.rmtree(folder, ignore_errors=True)
    variables = {"UV_SYSTEM_CERTS": "1", **os.environ}
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--compile-bytecode"]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [*install, "--require-hashes", "-r", str(lock)],
    ):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"{name} could not be installed: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted)
    return python
