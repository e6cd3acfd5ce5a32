"""An alert is told once, whoever tells it and whatever stopped the last teller."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bentleybot_assets.resources.notifier import Alert, Notifier

FIRST = Alert("check-1", "ERROR", "market/daily_bars failed its check contract", "close = NaN at AAPL", "run-1")
SECOND = replace(FIRST, alert_id="check-2", severity="WARN")
RACERS = 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.jsonl"


@pytest.fixture
def notifier(path: Path) -> Notifier:
    return Notifier(file=str(path))


def recorded(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_alerts_are_told_in_order_with_their_severity(
    notifier: Notifier, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notifier.report([FIRST, SECOND]) == [FIRST, SECOND]
    assert recorded(path) == [asdict(FIRST), asdict(SECOND)]
    assert capsys.readouterr().err.splitlines() == [
        "ERROR market/daily_bars failed its check contract: close = NaN at AAPL",
        "WARN market/daily_bars failed its check contract: close = NaN at AAPL",
    ]


def test_an_alert_that_was_told_is_not_told_again(
    notifier: Notifier, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier.report([FIRST])
    before = path.read_bytes()
    capsys.readouterr()
    assert Notifier(file=str(path)).report([FIRST]) == []
    assert path.read_bytes() == before
    assert capsys.readouterr().err == ""


def test_an_alert_given_twice_at_once_is_told_once(notifier: Notifier, path: Path) -> None:
    assert notifier.report([FIRST, FIRST]) == [FIRST]
    assert recorded(path) == [asdict(FIRST)]


def test_a_new_alert_is_told_beside_a_known_one(notifier: Notifier, path: Path) -> None:
    notifier.report([FIRST])
    assert notifier.report([FIRST, SECOND]) == [SECOND]
    assert [alert["alert_id"] for alert in recorded(path)] == ["check-1", "check-2"]


def test_evidence_of_several_lines_and_scripts_stays_one_record(notifier: Notifier, path: Path) -> None:
    alert = replace(FIRST, evidence='close = "NaN"\nsector = Société\u2028→ {}')
    notifier.report([alert])
    assert notifier.report([alert]) == []
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == [asdict(alert)]


def test_a_line_that_a_killed_writer_cut_short_is_told_again_wherever_it_was_cut(tmp_path: Path) -> None:
    """At every byte: inside a character of several bytes, and after a brace that closes less than the record."""
    alert = replace(SECOND, evidence="{'Société': {}}")
    whole = (json.dumps(asdict(alert), ensure_ascii=False) + "\n").encode()
    kept = (json.dumps(asdict(FIRST), ensure_ascii=False) + "\n").encode()
    wrong = []
    for cut in range(1, len(whole) - 1):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(kept + whole[:cut])
        notifier = Notifier(file=str(path))
        try:
            told = [notifier.report([FIRST, alert]), notifier.report([FIRST, alert])]
        except ValueError as error:
            wrong.append((whole[max(0, cut - 4) : cut], type(error).__name__))
            continue
        assert told == [[alert], []]
    assert wrong == []


def test_threads_tell_an_alert_once(path: Path) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        told = list(pool.map(lambda _: Notifier(file=str(path)).report([FIRST, SECOND]), range(4 * RACERS)))
    assert sorted(alert.alert_id for alerts in told for alert in alerts) == ["check-1", "check-2"]
    assert sorted(alert["alert_id"] for alert in recorded(path)) == ["check-1", "check-2"]


def report_in_a_process(path: str) -> int:
    notifier = Notifier(file=path)
    alerts = [replace(FIRST, alert_id=f"check-{number}") for number in range(30)]
    return sum(len(notifier.report([alert])) for alert in alerts)


def test_processes_tell_an_alert_once(path: Path) -> None:
    # Not by fork: this process may have threads, and a child would wait for locks that they held.
    with multiprocessing.get_context("forkserver").Pool(RACERS) as pool:
        told = pool.map(report_in_a_process, [str(path)] * RACERS)
    assert sum(told) == 30
    assert len(recorded(path)) == 30
