"""The mark of a desk that is being restored, in its folder: whoever finds it keeps out.

Does not belong here: restoring (``backup``); the mark in the database of a production desk (``mysql``).
"""

from __future__ import annotations

from pathlib import Path

WORKSHOP = ".restoring"
"""A folder of this name is in a home while a restore fills it, or after one was interrupted."""


class UnfinishedRestoreError(RuntimeError):
    """The desk is not whole. The message names its folder and the fix."""


def require_whole(home: Path) -> None:
    """Refuse a home that a restore has not filled yet.

    Raises:
        UnfinishedRestoreError: it is being filled, or that was interrupted.
    """
    if (home / WORKSHOP).exists():
        raise UnfinishedRestoreError(
            f"{home} is being restored, or a restore of it was interrupted (it has {WORKSHOP}). Wait for it to end, "
            "or run `bentleybot restore` again: it begins anew."
        )
