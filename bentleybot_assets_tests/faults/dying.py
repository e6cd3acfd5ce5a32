"""Processes that die at the k-th point of their work.

Does not belong here: what the work is, and what counts as a point of it (``killed_*``).
"""

from __future__ import annotations

import functools
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import pytest

Context = multiprocessing.context.ForkServerContext


class Points:
    """Counts the points of some work; at the ``at``-th, from 0, something happens: this process dies, or ``act``.

    Attributes:
        passed: how many there were.
    """

    def __init__(self, at: int | None, act: Callable[[], object] | None = None) -> None:
        self._at = at
        self._act = act or functools.partial(signal.raise_signal, signal.SIGKILL)
        self.passed = 0

    def __call__(self) -> None:
        """A point is reached."""
        self.passed += 1  # first, as what happens may pass points itself
        if self.passed - 1 == self._at:
            self._act()


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
