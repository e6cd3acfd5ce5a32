"""Tells people about alerts: on the console and in a file.

Does not belong here: deciding what an alert is (``wiring.alerts``).
"""

from __future__ import annotations

import fcntl
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg


@dataclass(frozen=True)
class Alert:
    """One thing that went wrong.

    Attributes:
        alert_id: names the occurrence; reporting it again is a no-op.
        severity: ``WARN`` or ``ERROR``.
        title: what failed, in one line.
        evidence: what was found.
        run_id: the Dagster run in which it was found.
    """

    alert_id: str
    severity: str
    title: str
    evidence: str
    run_id: str


class Notifier(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reports each alert once, whoever reports it.

    Attributes:
        file: JSON lines, one per alert; also what makes reporting idempotent across processes.
    """

    file: str

    def report(self, alerts: list[Alert]) -> list[Alert]:
        """Report the alerts that were not reported before; returns those."""
        path = Path(self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.seek(0)
            content = handle.read()
            # A line that a killed writer cut short never counted as reported; it goes.
            whole = content[: content.rfind(b"\n") + 1]
            handle.truncate(len(whole))
            known = {json.loads(line)["alert_id"] for line in whole.splitlines()}
            new = list({alert.alert_id: alert for alert in alerts if alert.alert_id not in known}.values())
            for alert in new:
                print(f"{alert.severity} {alert.title}: {alert.evidence}", file=sys.stderr)  # noqa: T201
                handle.write(json.dumps(asdict(alert), ensure_ascii=False).encode() + b"\n")
        return new
