"""Where reports are put for people to open."""

from __future__ import annotations

import os
import uuid
from datetime import date
from pathlib import Path

import dagster as dg


class ReportFolder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A folder of pages, one sub-folder per report.

    Attributes:
        folder: root of the reports.
    """

    folder: str

    def path(self, report: str, session: date) -> Path:
        """Where a report of a session is, or would be."""
        return Path(self.folder) / report / f"{session}.html"

    def write(self, report: str, session: date, html: str) -> Path:
        """Put a page in place whole; a reader sees the old one or the new one."""
        target = self.path(report, session)
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        with incoming.open("w", encoding="utf-8") as handle:
            handle.write(html)
            handle.flush()
            os.fsync(handle.fileno())
        incoming.replace(target)
        return target
