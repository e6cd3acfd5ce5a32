"""Processes that die at the k-th point of their work.

Does not belong here: what the work is, and what counts as a point of it (``killed_*``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

Context = multiprocessing.context.ForkServerContext


class Points:
    """Counts the points of this process's work, and kills it before the ``die_at``-th.

    Attributes:
        passed: how many there were.
    """

    def __init__(self, die_at: int | None) -> None:
        self._die_at = die_at
        self.passed = 0

    def __call__(self) -> None:
        """A point is reached."""
        if self.passed == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1


def forkserver(*preload: str) -> Context:
    """Starts children that have the imports done but no thread running yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, "alembic.command"])
    return context


def exit_code(context: Context, target: Callable[..., None], *arguments: Any) -> int | None:
    """How a process that does ``target`` ended."""
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def parts(stride: int, always: int = 0) -> list[Any]:
    """First points of a sweep's parts, which run beside each other: one part runs always, all in `make faults`."""
    others = [pytest.param(first, marks=pytest.mark.sweep) for first in range(stride) if first != always]
    return [always, *others]
