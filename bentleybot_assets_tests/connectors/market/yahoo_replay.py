"""Yahoo's chart endpoint on loopback, answering from recorded or project-written charts.

It is strict: an answer holds only the bars and events inside ``period1`` and ``period2``, so that incremental
reads meet what they would meet at Yahoo. A symbol keeps its time zone in all tests, because yfinance remembers it
while the process lives.
"""

from __future__ import annotations

import copy
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest

Chart = dict[str, Any]
"""One ``chart.result`` of Yahoo."""

NEW_YORK = ZoneInfo("America/New_York")
DAYS = [date(2024, 1, day) for day in (10, 11, 12, 16, 17, 18, 19)]
"""Sessions of the project-written chart, around Martin Luther King Day (Monday the 15th)."""

RECORDINGS = {
    "AAPL": "chart-AAPL-2020-08-31-to-2020-11-07.json",
    "MSFT": "historical-via-chart-MSFT-dividends-2021-02-01-to-2022-01-31.csv.json",
    "NVDA": "historical-via-chart-NVDA-split-2021-02-01-to-2022-01-31.csv.json",
    "TSLA": "historical-via-chart-dividends-TSLA-no-dividends.json",
}


def stamp(day: date, zone: str = "America/New_York", opens: time = time(9, 30)) -> int:
    """Yahoo's time of a daily bar: the open."""
    return int(datetime.combine(day, opens, tzinfo=ZoneInfo(zone)).timestamp())


def chart(
    days: Sequence[date] = DAYS,
    *,
    factor: float = 1.0,
    dividend_factor: float = 1.0,
    events: Mapping[str, Any] | None = None,
    zone: str = "America/New_York",
    opens: time = time(9, 30),
    instrument: str = "EQUITY",
) -> Chart:
    """A project-written chart: closes 100, 101, ... divided by ``factor``; adjusted close also for dividends."""
    closes = [(100.0 + position) / factor for position in range(len(days))]
    quote = {
        "open": [close - 0.5 for close in closes],
        "high": [close + 1.0 for close in closes],
        "low": [close - 1.0 for close in closes],
        "close": closes,
        "volume": [1000 * (position + 1) for position in range(len(days))],
    }
    return {
        "meta": {"currency": "USD", "exchangeTimezoneName": zone, "instrumentType": instrument, "symbol": "TEST"},
        "timestamp": [stamp(day, zone, opens) for day in days],
        "indicators": {
            "quote": [quote],
            "adjclose": [{"adjclose": [close * dividend_factor for close in closes]}],
        },
        "events": dict(events or {}),
    }


def hourly_chart(
    begins: Sequence[datetime], periods: Sequence[tuple[datetime, datetime]], *, instrument: str = "EQUITY"
) -> Chart:
    """A project-written chart of hours: closes 100, 101, ...

    Args:
        begins: when each bar begins, in the exchange's time.
        periods: when each day of trading opens and closes, as Yahoo tells beside intraday bars.
        instrument: what Yahoo calls its kind.
    """
    made = chart([begin.date() for begin in begins], zone=str(begins[0].tzinfo), instrument=instrument)
    made["timestamp"] = [int(begin.timestamp()) for begin in begins]
    del made["indicators"]["adjclose"]
    made["meta"]["tradingPeriods"] = [
        [{"timezone": "X", "gmtoffset": 0, "start": int(opens.timestamp()), "end": int(closes.timestamp())}]
        for opens, closes in periods
    ]
    return made


def split_on(day: date, ratio: int) -> dict[str, Any]:
    """A split as Yahoo lists it."""
    return {"splits": {str(stamp(day)): {"date": stamp(day), "numerator": ratio, "denominator": 1}}}


def dividend_on(day: date, amount: float) -> dict[str, Any]:
    """A dividend as Yahoo lists it."""
    return {"dividends": {str(stamp(day)): {"date": stamp(day), "amount": amount}}}


def recorded_chart(symbol: str) -> Chart:
    """A real chart from the recordings, which stay outside the repository; skips where they are absent."""
    default = Path(__file__).resolve().parents[4] / "shared" / "fixtures"
    file = Path(os.environ.get("BENTLEYBOT_FIXTURES", default)) / "yahoo" / RECORDINGS[symbol]
    if not file.is_file():
        pytest.skip(f"the recording {file.name} is not there; set BENTLEYBOT_FIXTURES to the recordings' folder")
    recording = json.loads(file.read_text())["response"]
    body = recording.get("bodyJson") or json.loads(recording["bodyText"])
    return body["chart"]["result"][0]


class Replay:
    """A running replay.

    Attributes:
        charts: symbol to chart; may be changed between reads.
        hourly: the same, for hourly bars.
        queries: the chart queries answered so far, as (symbol, parameters).
        status: HTTP status of every answer, to play a server in trouble.
        refusals: symbol to statuses and headers with which its next charts are refused.
    """

    def __init__(self, charts: Mapping[str, Chart], url: str) -> None:
        self.charts = dict(charts)
        self.hourly: dict[str, Chart] = {}
        self.url = url
        self.queries: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.refusals: dict[str, list[tuple[int, dict[str, str]]]] = {}

    def answer(self, path: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body for a request."""
        parts = urlsplit(path)
        if parts.path == "/":
            return 200, {"Content-Type": "text/html"}, ""
        if parts.path == "/v1/test/getcrumb":
            return 200, {"Content-Type": "text/plain"}, "crumb"
        is_json = {"Content-Type": "application/json"}
        if not parts.path.startswith("/v8/finance/chart/"):
            return 404, is_json, json.dumps({"finance": {"result": None, "error": {"code": "Not Found"}}})
        symbol = unquote(parts.path.rpartition("/")[2])
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.queries.append((symbol, query))
        status, headers = self.refusals[symbol].pop(0) if self.refusals.get(symbol) else (self.status, {})
        if status != 200:
            body = "Too Many Requests" if status == 429 else "<html>in trouble</html>"
            return status, {"Content-Type": "text/plain", **headers}, body
        asked, other = (self.hourly, self.charts) if query["interval"] == "1h" else (self.charts, self.hourly)
        found = asked.get(symbol) or other.get(symbol)
        if found is None:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, is_json, json.dumps({"chart": {"result": None, "error": error}})
        return 200, is_json, json.dumps({"chart": {"result": [_slice(found, query)], "error": None}})


def _slice(chart: Chart, query: Mapping[str, str]) -> Chart:
    """The part of ``chart`` that Yahoo would send for ``query``."""
    times = chart["timestamp"]
    if "period1" in query:
        inside = [i for i, at in enumerate(times) if int(query["period1"]) <= at < int(query["period2"])]
    else:
        inside = [len(times) - 1]
    part = copy.deepcopy({name: chart[name] for name in ("meta", "indicators")})
    if not inside:
        part["indicators"] = {"quote": [{}], "adjclose": [{}]}
        return part
    part["timestamp"] = [times[i] for i in inside]
    for (series,) in part["indicators"].values():
        for name, values in series.items():
            series[name] = [values[i] for i in inside]
    events = {
        kind: {key: event for key, event in found.items() if event["date"] in part["timestamp"]}
        for kind, found in (chart.get("events") or {}).items()
    }
    return part | {"events": {kind: found for kind, found in events.items() if found}}


@contextmanager
def replay_of(charts: Mapping[str, Chart]) -> Iterator[Replay]:
    """Serve ``charts`` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = replay.answer(self.path)
            content = body.encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        replay = Replay(charts, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield replay
        finally:
            server.shutdown()
            thread.join()


def config_of(replay: Replay, *symbols: str, **changes: Any) -> dict[str, Any]:
    """A configuration of the source that reads daily bars of ``symbols`` from the replay."""
    config = {"mode": "yahoo", "symbols": list(symbols or ("TEST",)), "base_url": replay.url}
    return config | {"start_date": "2024-01-01"} | changes
