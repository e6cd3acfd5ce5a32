"""The daily brief: one page that says what to do at a session and why, or what stopped it.

Belongs here: what the page says and in which words. Does not belong here: how it looks (``brief.html.jinja``), drawing
(``svg``), where the page is kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bentleybot_assets.contracts.sessions import next_session
from bentleybot_assets.core.backtest import TOP_FRACTION
from bentleybot_assets.core.evaluation import SESSIONS_PER_YEAR
from bentleybot_assets.core.model_versions import EDGE_T
from bentleybot_assets.core.signals import NO_EDGE, explain
from bentleybot_assets.core.svg import Line, line_chart

TRADE, HOLD, HALT = "TRADE", "HOLD", "HALT"

TABLE_STATUS: dict[str, pl.DataType | type[pl.DataType]] = {
    "table": pl.String,
    "rows": pl.Int64,
    "newest_session": pl.Date,
    "checks_passed": pl.Int64,
    "checks_failed": pl.Int64,
    "quarantined_rows": pl.Int64,
}
"""Columns of ``BriefInputs.tables``. ``rows`` is null where a table was never published, ``newest_session`` also where
a table knows no sessions."""

_SHAPES = (("wide", 940, 330, 170, 420), ("narrow", 360, 300, 160, 180))
"""Charts are drawn for desk and phone, since labels cannot shrink: name, width, two heights, points per line."""

_ALGORITHMS = {"momentum": "12-1 momentum", "ridge": "Ridge regression"}
_PRICE_SOURCES = {
    "split_adjusted_close": "split-adjusted close",
    "fully_adjusted_close": "fully adjusted close",
}
_REMEDIES = {
    "contract": "The delivery breaks what the table promises; its last good version stands. Correct the source, or "
    "wait for its next delivery, then run again.",
    "run_succeeds": "A step ended with an error. Mend the cause it names, then run again.",
}
_OTHER_REMEDY = "Find out whether the finding is right, mend its cause at the source, then run again."


@dataclass(frozen=True)
class BriefInputs:
    """Everything the page is made from. Any frame may be empty: a first run may have been blocked early.

    Attributes:
        session: session the brief is about.
        account_mode: paper or live.
        data_mode: ``sample`` or the market data's source.
        cash_usd: cash before the session's orders.
        positions: shares held before the session's orders, per symbol.
        signals: rows of ``signals/trading_signals`` of the session.
        targets: rows of ``trading/target_weights`` of the session.
        orders: rows of ``trading/orders`` of the session, as recorded.
        refusals: open refusals of the session; columns table_name, check_name and evidence are read.
        versions: ``models/return_forecaster``.
        backtest: ``models/backtest``; rows after the session are ignored.
        bars: rows of ``market/daily_bars`` of the session.
        instruments: ``market/instruments``.
        tables: state of each table, columns ``TABLE_STATUS``.
    """

    session: date
    account_mode: str
    data_mode: str
    cash_usd: float
    positions: Mapping[str, int]
    signals: pl.DataFrame
    targets: pl.DataFrame
    orders: pl.DataFrame
    refusals: pl.DataFrame
    versions: pl.DataFrame
    backtest: pl.DataFrame
    bars: pl.DataFrame
    instruments: pl.DataFrame
    tables: pl.DataFrame


def verdict(orders: pl.DataFrame, refusals: pl.DataFrame) -> str:
    """HALT while a refusal is open, else TRADE if there are orders, else HOLD."""
    if not refusals.is_empty():
        return HALT
    return HOLD if orders.is_empty() else TRADE


def render_brief(inputs: BriefInputs) -> str:
    """The page as HTML: self-contained, without script, the same bytes for the same inputs."""
    names = dict(inputs.instruments.select("symbol", "name").iter_rows())
    account = _account(inputs, names)
    return _template().render(
        session=inputs.session,
        trade_session=next_session(inputs.session),
        verdict=verdict(inputs.orders, inputs.refusals),
        is_decided=not inputs.signals.is_empty(),
        account_mode=inputs.account_mode,
        data_mode=inputs.data_mode,
        sources=_sources(inputs.bars),
        refusals=_refusals(inputs.refusals),
        orders=_orders(inputs.orders, names),
        signals=_signals(inputs, names),
        model=_model(inputs),
        record=_record(inputs),
        account=account,
        tables=inputs.tables.sort("table").to_dicts(),
        edge_t=EDGE_T,
    )


@functools.cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "day": _day,
        "long_day": lambda day: f"{day:%A} {_day(day)}",
        "dollars": lambda value: _unless_missing(value, lambda known: _signed(known, ",.0f", "$")),
        "cents": lambda value: _unless_missing(value, lambda known: _signed(known, ",.2f", "$")),
        "price": lambda value: _unless_missing(value, lambda known: _signed(known, ",.2f" if known >= 1 else ",.4f", "$")),
        "count": lambda value: _unless_missing(value, lambda known: f"{known:,}"),
        "percent": lambda value, digits=1: _unless_missing(value, lambda known: f"{_signed(100 * known, f'.{digits}f')} %"),
        "decimal": lambda value, digits=2: _unless_missing(value, lambda known: _signed(known, f".{digits}f")),
        "table_id": lambda name: name.replace("/", " / "),
    }
    source = files(__package__).joinpath("brief.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _signed(value: float, form: str, unit: str = "") -> str:
    text = f"{unit}{abs(value):{form}}"
    is_zero = not any(digit in text for digit in "123456789")
    return text if value >= 0 or is_zero else f"\N{MINUS SIGN}{text}"


def _unless_missing(value: Any, write: Any) -> str:
    return "\N{EM DASH}" if value is None else str(write(value))


def _sources(bars: pl.DataFrame) -> list[str]:
    found = bars.select("source", "source_version").unique().sort("source", "source_version")
    return [f"{source} {version}" for source, version in found.iter_rows()]


def _refusals(refusals: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "table": row["table_name"],
            "check": row["check_name"],
            "evidence": row["evidence"],
            "remedy": _REMEDIES.get(row["check_name"], _OTHER_REMEDY),
        }
        for row in refusals.sort("table_name", "check_name", "evidence").iter_rows(named=True)
    ]


def _orders(orders: pl.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    """Sales first, since they bring the cash; then by size."""
    ordered = orders.sort("side", "estimated_value_usd", "symbol", descending=[True, True, False])
    is_buy = pl.col("side") == "BUY"
    return {
        "rows": [
            {
                **row,
                "name": names.get(row["symbol"], ""),
            }
            for row in ordered.iter_rows(named=True)
        ],
        "bought": orders.filter(is_buy).height,
        "sold": orders.filter(~is_buy).height,
        "bought_usd": orders.filter(is_buy)["estimated_value_usd"].sum(),
        "sold_usd": orders.filter(~is_buy)["estimated_value_usd"].sum(),
        "cost_usd": orders["estimated_cost_usd"].sum(),
    }


def _signals(inputs: BriefInputs, names: Mapping[str, str]) -> dict[str, Any]:
    weights = dict(inputs.targets.select("symbol", "weight").iter_rows())
    sources = dict(inputs.targets.select("symbol", "price_source").iter_rows())
    rows = [
        {
            **row,
            "name": names.get(row["symbol"], ""),
            "reasons": row["reasons"].split(","),
            "weight": weights.get(row["symbol"]),
        }
        for row in inputs.signals.sort("action", "percentile", "symbol", descending=[False, True, False]).iter_rows(
            named=True
        )
    ]
    codes = sorted({code for row in rows for code in row["reasons"]})
    return {
        "rows": rows,
        "counts": {action: sum(row["action"] == action for row in rows) for action in ("BUY", "HOLD", "SELL")},
        "reasons": [(code, explain(code)) for code in codes],
        "has_edge": NO_EDGE not in codes,
        "price_sources": {symbol: _PRICE_SOURCES[source] for symbol, source in sources.items()},
    }


def _model(inputs: BriefInputs) -> dict[str, Any] | None:
    """The versions that serve the session, champion first; None where none does."""
    serving = inputs.versions.filter(
        pl.col("serves_from") <= inputs.session, pl.col("serves_to") >= inputs.session
    ).sort("is_champion", "algorithm", descending=[True, False])
    champion = serving.filter("is_champion")
    if champion.is_empty():
        return None
    rows = [{**row, "name": _algorithm(row["algorithm"])} for row in serving.iter_rows(named=True)]
    return {"champion": rows[0], "versions": rows}


def _algorithm(algorithm: str) -> str:
    return _ALGORITHMS.get(algorithm, algorithm)


def _account(inputs: BriefInputs, names: Mapping[str, str]) -> dict[str, Any]:
    """Holdings before the orders, and cash before and after; values are None where a price is missing."""
    price = dict(inputs.bars.select("symbol", "mark_price").iter_rows())
    rows = [
        {
            "symbol": symbol,
            "name": names.get(symbol, ""),
            "quantity": quantity,
            "price": price.get(symbol),
            "value": quantity * price[symbol] if symbol in price else None,
        }
        for symbol, quantity in sorted(inputs.positions.items())
        if quantity
    ]
    values = [row["value"] for row in rows]
    invested = None if None in values else math.fsum(values)
    change = inputs.orders.select(
        pl.when(pl.col("side") == "SELL").then("estimated_value_usd").otherwise(-pl.col("estimated_value_usd")).sum()
    ).item()
    cash_after = inputs.cash_usd + change - inputs.orders["estimated_cost_usd"].sum()
    return {
        "rows": rows,
        "cash": inputs.cash_usd,
        "cash_after": cash_after,
        "invested": invested,
        "equity": None if invested is None else inputs.cash_usd + invested,
    }


def _record(inputs: BriefInputs) -> dict[str, Any] | None:
    """What following each algorithm would have earned, up to the session; None for less than two sessions."""
    model = _model(inputs)
    known = inputs.backtest.filter(pl.col("session") <= inputs.session).sort("algorithm", "session")
    if model is None or known.filter(algorithm=model["champion"]["algorithm"]).height < 2:  # noqa: PLR2004
        return None
    chosen = model["champion"]["algorithm"]
    mine = known.filter(algorithm=chosen)
    columns = {"champion": mine["net_return"], "benchmark": mine["benchmark_return"]}
    labels = {"champion": f"{_algorithm(chosen)}, net of cost", "benchmark": "Equal-weight benchmark, net of cost"}
    for (algorithm,), other in known.filter(pl.col("algorithm") != chosen).partition_by(
        "algorithm", as_dict=True, maintain_order=True
    ).items():
        if other["session"].equals(mine["session"]):
            columns["challenger"] = other["net_return"]
            labels["challenger"] = f"{_algorithm(str(algorithm))}, net of cost"
    stats = [
        {"label": labels[key], "css_class": key, **_statistics(returns)} for key, returns in columns.items()
    ]
    years = mine.height / SESSIONS_PER_YEAR
    return {
        "first": mine["session"][0],
        "last": mine["session"][-1],
        "sessions": mine.height,
        "stats": stats,
        "turnover": mine["turnover"].sum() / years,
        "cost": mine["cost"].sum() / years,
        "top_percent": round(100 * TOP_FRACTION),
        "charts": [
            {
                "shape": name,
                "growth": _growth_chart(mine["session"], columns, labels, width, tall, points),
                "drawdown": _drawdown_chart(mine["session"], columns, labels, width, low, points),
            }
            for name, width, tall, low, points in _SHAPES
        ],
    }


def _statistics(returns: pl.Series) -> dict[str, float | None]:
    """Annualised at 252 sessions; the Sharpe ratio takes no risk-free rate off."""
    wealth = (1 + returns).cum_prod()
    volatility = float(returns.std() or 0.0) * math.sqrt(SESSIONS_PER_YEAR)  # type: ignore[arg-type]
    mean = float(returns.mean()) * SESSIONS_PER_YEAR  # type: ignore[arg-type]
    return {
        "annual_return": float(wealth[-1]) ** (SESSIONS_PER_YEAR / len(returns)) - 1,
        "volatility": volatility,
        "sharpe": mean / volatility if volatility else None,
        "max_drawdown": float(_drawdowns(returns).min()),  # type: ignore[arg-type]
        "growth": float(wealth[-1]),
    }


def _drawdowns(returns: pl.Series) -> pl.Series:
    wealth = (1 + returns).cum_prod()
    return wealth / wealth.cum_max().clip(lower_bound=1.0) - 1


def _growth_chart(
    sessions: pl.Series, columns: Mapping[str, pl.Series], labels: Mapping[str, str], width: int, height: int, points: int
) -> Markup:
    growth = {key: (1 + returns).cum_prod() for key, returns in columns.items()}
    drawn = _thinned(sessions, growth, points).group_by("stretch", maintain_order=True).last()
    return _chart(drawn, labels, "Growth of $1, log scale", lambda value: f"${value:.3g}", width, height, is_log=True)


def _drawdown_chart(
    sessions: pl.Series, columns: Mapping[str, pl.Series], labels: Mapping[str, str], width: int, height: int, points: int
) -> Markup:
    depth = {key: _drawdowns(columns[key]) for key in ("champion", "benchmark")}
    drawn = _thinned(sessions, depth, points).group_by("stretch", maintain_order=True).agg(
        pl.col("session").last(), pl.exclude("session", "stretch").min()
    )
    return _chart(
        drawn,
        {key: labels[key].removesuffix(", net of cost") for key in depth},
        "Loss since the last high",
        lambda value: f"{_signed(100 * value, '.0f')} %",
        width,
        height,
        is_filled=True,
    )


def _thinned(sessions: pl.Series, columns: Mapping[str, pl.Series], points: int) -> pl.DataFrame:
    """Columns with ``stretch``, the number of the point on the chart that a session falls on."""
    count = len(sessions)
    stretch = pl.int_range(count, eager=True) * min(points, count) // count
    return pl.DataFrame({"session": sessions, **columns, "stretch": stretch})


def _chart(
    drawn: pl.DataFrame, labels: Mapping[str, str], caption: str, tick: Any, width: int, height: int, **options: bool
) -> Markup:
    keys = [key for key in ("challenger", "benchmark", "champion") if key in labels]
    lines = [Line(labels[key], drawn[key].to_list(), key) for key in keys]
    # The chart escapes what it writes.
    return Markup(  # noqa: S704
        line_chart(
            drawn["session"].to_list(), lines, caption=caption, tick=tick, width=width, height=height, **options
        )
    )
