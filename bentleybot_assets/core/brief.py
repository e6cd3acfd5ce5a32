"""The daily brief: one page that says what to do at a session and why, or what stopped it.

Belongs here: what the page says and in which words. Does not belong here: how it looks (``brief.html.jinja``), drawing
(``svg``), where the page is kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from bentleybot_assets.contracts.sessions import cut_off, next_session
from bentleybot_assets.core.backtest import TOP_FRACTION
from bentleybot_assets.core.evaluation import SESSIONS_PER_YEAR
from bentleybot_assets.core.model_versions import EDGE_T
from bentleybot_assets.core.risk_free import UNAVAILABLE, session_returns
from bentleybot_assets.core.signals import NO_EDGE, explain
from bentleybot_assets.core.svg import Line, line_chart

if TYPE_CHECKING:
    from jinja2 import Template

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


@dataclass(frozen=True)
class _Shape:
    """A size to draw charts in: for desk or phone, since labels cannot shrink."""

    name: str
    width: int
    growth_height: int
    drawdown_height: int
    points: int

    def stretches(self, count: int) -> pl.Series:
        """The point of the chart on which each of ``count`` sessions falls."""
        return pl.int_range(count, eager=True) * min(self.points, count) // count

    def last_of_each(self, count: int) -> pl.Series:
        """Position of the last session of each stretch."""
        stretch = self.stretches(count)
        return (stretch != stretch.shift(-1)).fill_null(value=True).arg_true()


_SHAPES = (_Shape("wide", 940, 330, 170, 420), _Shape("narrow", 340, 290, 160, 180))

_ALGORITHMS = {"momentum": "12-1 month momentum", "ridge": "Ridge regression"}
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
        cash_usd: cash before the session's orders; None if the account that the session was decided for is unknown.
        positions: shares held before the session's orders, per symbol.
        signals: rows of ``signals/trading_signals`` of the session.
        targets: rows of ``trading/target_weights`` of the session.
        orders: rows of ``trading/orders`` of the session, as recorded.
        refusals: open refusals of the session; columns table_name, check_name and evidence are read.
        versions: ``models/return_forecaster``.
        backtest: ``models/backtest``; rows after the session are ignored.
        bars: rows of ``market/daily_bars`` of the session.
        instruments: ``market/instruments``.
        risk_free_rates: ``raw/market/risk_free_rates``; what became known after the session is ignored.
        tables: state of each table, columns ``TABLE_STATUS``.
    """

    session: date
    account_mode: str
    data_mode: str
    cash_usd: float | None
    positions: Mapping[str, int]
    signals: pl.DataFrame
    targets: pl.DataFrame
    orders: pl.DataFrame
    refusals: pl.DataFrame
    versions: pl.DataFrame
    backtest: pl.DataFrame
    bars: pl.DataFrame
    instruments: pl.DataFrame
    risk_free_rates: pl.DataFrame
    tables: pl.DataFrame


def verdict(orders: pl.DataFrame, refusals: pl.DataFrame) -> str:
    """HALT while a refusal is open, else TRADE if there are orders, else HOLD."""
    if not refusals.is_empty():
        return HALT
    return HOLD if orders.is_empty() else TRADE


def render_brief(inputs: BriefInputs) -> str:
    """The page as HTML: self-contained, without script, the same bytes for the same inputs."""
    names = dict(inputs.instruments.sort("symbol", "valid_from").select("symbol", "name").iter_rows())
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
        orders=_orders(inputs, names),
        signals=_signals(inputs, names),
        model=_model(inputs),
        record=_record(inputs),
        account=account,
        tables=inputs.tables.sort("table").to_dicts(),
        edge_t=EDGE_T,
    )


def champion_sharpe(inputs: BriefInputs) -> float | str | None:
    """The Sharpe ratio of following the champion, as the page shows it, or why it has none; None without a record."""
    mine = _champion_record(inputs)
    if mine is None:
        return None
    risk_free = _risk_free(inputs, mine["session"])
    return _why_no_sharpe(mine["session"], risk_free) or _sharpe(mine["net_return"], risk_free)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": _count,
        "day": _day,
        "decimal": _decimal,
        "dollars": _dollars,
        "long_day": _long_day,
        "percent": _percent,
    }
    source = files(__package__).joinpath("brief.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


_MISSING = "\N{EM DASH}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _long_day(day: date) -> str:
    return f"{day:%A} {_day(day)}"


def _count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"


def _decimal(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A rounded number with thousands separators and, before the unit, a true minus sign; never minus zero."""
    if value is None:
        return _MISSING
    amount = f"{abs(value):,.{digits}f}"
    sign = "\N{MINUS SIGN}" if value < 0 and any(digit in amount for digit in "123456789") else ""
    return f"{sign}{unit}{amount}"


def _dollars(value: float | None, digits: int = 0) -> str:
    return _decimal(value, digits, "$")


def _percent(fraction: float | None, digits: int = 1) -> str:
    return _MISSING if fraction is None else f"{_decimal(100 * fraction, digits)}\N{NO-BREAK SPACE}%"


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


def _orders(inputs: BriefInputs, names: Mapping[str, str]) -> dict[str, Any]:
    """Sales first, since they bring the cash; then by size."""
    orders = inputs.orders
    sources = dict(inputs.targets.select("symbol", "price_source").iter_rows())
    rows = [
        {
            **row,
            "name": names.get(row["symbol"], ""),
            "price_source": _PRICE_SOURCES.get(sources.get(row["symbol"], ""), "not stated"),
        }
        for row in orders.sort("side", "estimated_value_usd", "symbol", descending=[True, True, False]).iter_rows(
            named=True
        )
    ]
    bought, sold = orders.filter(side="BUY"), orders.filter(side="SELL")
    buy_signals = inputs.signals.filter(action="BUY")
    return {
        "rows": rows,
        "sources": {
            source: [row["symbol"] for row in rows if row["price_source"] == source]
            for source in sorted({row["price_source"] for row in rows})
        },
        "trimmed": sold.join(buy_signals, on="symbol", how="semi")["symbol"].sort().to_list(),
        "bought": bought.height,
        "sold": sold.height,
        "bought_usd": bought["estimated_value_usd"].sum(),
        "sold_usd": sold["estimated_value_usd"].sum(),
        "cost_usd": orders["estimated_cost_usd"].sum(),
    }


def _signals(inputs: BriefInputs, names: Mapping[str, str]) -> dict[str, Any]:
    weights = dict(inputs.targets.select("symbol", "weight").iter_rows())
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
    """Holdings before the orders, and cash before and after; values are None where a price or the cash is unknown."""
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
    values: list[Any] = [row["value"] for row in rows]
    invested = None if None in values else math.fsum(values)
    change = inputs.orders.select(
        pl.when(pl.col("side") == "SELL").then("estimated_value_usd").otherwise(-pl.col("estimated_value_usd")).sum()
    ).item()
    cash = inputs.cash_usd
    return {
        "rows": rows,
        "cash": cash,
        "cash_after": None if cash is None else cash + change - inputs.orders["estimated_cost_usd"].sum(),
        "equity": None if cash is None or invested is None else cash + invested,
    }


@dataclass(frozen=True)
class _Track:
    """Session returns of something that could have been followed, and how the chart styles it."""

    label: str
    css_class: str
    returns: pl.Series


def _known(inputs: BriefInputs) -> pl.DataFrame:
    """The back-test up to the session."""
    return inputs.backtest.filter(pl.col("session") <= inputs.session).sort("algorithm", "session")


def _champion_record(inputs: BriefInputs) -> pl.DataFrame | None:
    """The back-test of the champion's algorithm up to the session; None for less than two sessions."""
    model = _model(inputs)
    if model is None:
        return None
    mine = _known(inputs).filter(algorithm=model["champion"]["algorithm"])
    return mine if mine.height >= 2 else None  # noqa: PLR2004 - a line has two ends


def _record(inputs: BriefInputs) -> dict[str, Any] | None:
    """What following each algorithm would have earned, up to the session; None if there is nothing to show."""
    mine = _champion_record(inputs)
    if mine is None:
        return None
    chosen = mine["algorithm"][0]
    risk_free = _risk_free(inputs, mine["session"])
    champion = _Track(_algorithm(chosen), "champion", mine["net_return"])
    benchmark = _Track("Equal weight", "benchmark", mine["benchmark_return"])
    challengers = [
        _Track(_algorithm(str(algorithm)), "challenger", other["net_return"])
        for (algorithm,), other in _known(inputs).partition_by("algorithm", as_dict=True).items()
        if algorithm != chosen and other["session"].equals(mine["session"])
    ]
    tracks = [champion, benchmark, *challengers]
    years = mine.height / SESSIONS_PER_YEAR
    return {
        "first": mine["session"][0],
        "last": mine["session"][-1],
        "sessions": mine.height,
        "stats": [
            {"label": track.label, "css_class": track.css_class, **_statistics(track.returns, risk_free)}
            for track in tracks
        ],
        "why_no_sharpe": _why_no_sharpe(mine["session"], risk_free),
        "turnover": float(mine["turnover"].sum()) / years,
        "cost": float(mine["cost"].sum()) / years,
        "top_percent": round(100 * TOP_FRACTION),
        "charts": [
            {
                "name": shape.name,
                "growth": _growth_chart(mine["session"], tracks, shape),
                "drawdown": _drawdown_chart(mine["session"], [champion, benchmark], shape),
            }
            for shape in _SHAPES
        ],
    }


def _statistics(returns: pl.Series, risk_free: pl.Series) -> dict[str, float | None]:
    """Annualised at 252 sessions."""
    daily = returns.to_numpy()
    growth = float((1 + daily).prod())
    return {
        "annual_return": growth ** (SESSIONS_PER_YEAR / len(daily)) - 1,
        "volatility": float(daily.std(ddof=1)) * math.sqrt(SESSIONS_PER_YEAR),
        "sharpe": _sharpe(returns, risk_free),
        "max_drawdown": float(_drawdowns(returns).to_numpy().min()),
    }


def _risk_free(inputs: BriefInputs, sessions: pl.Series) -> pl.Series:
    return session_returns(inputs.risk_free_rates, sessions, cut_off(inputs.session))


def _sharpe(returns: pl.Series, risk_free: pl.Series) -> float | None:
    """Mean over deviation of the return beyond the risk-free one, annualised; None if that is unknown or constant."""
    if risk_free.has_nulls():
        return None
    excess = (returns - risk_free).to_numpy()
    deviation = float(excess.std(ddof=1))
    return float(excess.mean()) / deviation * math.sqrt(SESSIONS_PER_YEAR) if deviation else None


def _why_no_sharpe(sessions: pl.Series, risk_free: pl.Series) -> str | None:
    """Which sessions have no risk-free rate; None if all have one."""
    without = sessions.filter(risk_free.is_null())
    if without.is_empty():
        return None
    which = f"{_count(len(without))} of {_count(len(sessions))} sessions"
    span = f"the first {_day(without[0])} and the last {_day(without[-1])}"
    return f"{UNAVAILABLE} for {which}, {span}; see raw/market/risk_free_rates"


def _drawdowns(returns: pl.Series) -> pl.Series:
    """Loss since the highest value so far, the starting value included; 0 at a high, else negative."""
    wealth = (1 + returns).cum_prod()
    return wealth / wealth.cum_max().clip(lower_bound=1.0) - 1


def _growth_chart(sessions: pl.Series, tracks: Sequence[_Track], shape: _Shape) -> Markup:
    values = [(1 + track.returns).cum_prod() for track in tracks]
    return _chart(
        sessions,
        tracks,
        [value.gather(shape.last_of_each(len(sessions))) for value in values],
        shape,
        caption="Growth of $1, net of cost, log scale",
        tick=lambda value: f"${value:.3g}",
        height=shape.growth_height,
        is_log=True,
    )


def _drawdown_chart(sessions: pl.Series, tracks: Sequence[_Track], shape: _Shape) -> Markup:
    """The deepest loss of each stretch, so that thinning the line hides none."""
    stretch = shape.stretches(len(sessions))
    values = [
        pl.DataFrame({"stretch": stretch, "depth": _drawdowns(track.returns)})
        .group_by("stretch", maintain_order=True)
        .min()["depth"]
        for track in tracks
    ]
    return _chart(
        sessions,
        tracks,
        values,
        shape,
        caption="Loss since the last high",
        tick=lambda value: _percent(value, 0),
        height=shape.drawdown_height,
        is_filled=True,
    )


def _chart(
    sessions: pl.Series, tracks: Sequence[_Track], values: Sequence[pl.Series], shape: _Shape, **options: Any
) -> Markup:
    """The champion is drawn last, above the others."""
    lines = [Line(track.label, value.to_list(), track.css_class) for track, value in zip(tracks, values, strict=True)]
    days = sessions.gather(shape.last_of_each(len(sessions))).to_list()
    # What the chart writes is escaped there.
    return Markup(line_chart(days, lines[::-1], width=shape.width, **options))  # noqa: S704
