"""The daily brief says what to do and why, or what stopped it, and is safe to open."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import polars as pl
import pytest

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.contracts.raw.market import RiskFreeRates
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core.brief import TABLE_STATUS, BriefInputs, champion_sharpe, render_brief, verdict
from bentleybot_assets.core.orders import order_intents
from bentleybot_assets.core.signals import trading_signals
from bentleybot_assets.core.sizing import Limits, target_weights
from bentleybot_assets_tests.core import test_risk_free as risk_free
from bentleybot_assets_tests.core.test_signals import COSTS, forecasts, instruments, versions

SESSION = date(2022, 12, 28)
REFUSALS = {"table_name": pl.String, "check_name": pl.String, "evidence": pl.String}
MEMBERS = instruments(AAPL="equity", IBM="equity", SPY="etf")


def bars(**marks: float) -> pl.DataFrame:
    """The columns of market/daily_bars that the page reads."""
    return pl.DataFrame(
        {
            "symbol": list(marks),
            "session": [SESSION] * len(marks),
            "mark_price": list(marks.values()),
            "price_source": ["fully_adjusted_close"] * len(marks),
            "currency": ["USD"] * len(marks),
            "source": ["skfolio/sp500_dataset"] * len(marks),
            "source_version": ["1.12.2"] * len(marks),
        }
    )


def backtest(returns: list[float], benchmark: list[float], algorithm: str = "ridge") -> pl.DataFrame:
    """A record that ends at the session of the brief."""
    sessions = sessions_between(date(2015, 1, 2), SESSION)[-len(returns) :]
    return pl.DataFrame(
        {
            "algorithm": [algorithm] * len(returns),
            "session": sessions,
            "gross_return": returns,
            "cost": [0.0] * len(returns),
            "net_return": returns,
            "benchmark_return": benchmark,
            "turnover": [0.02] * len(returns),
            "rank_ic": [0.01] * len(returns),
        },
        schema=Backtest.polars_schema(),
    )


def rates(span: tuple[date, date], rate_pct: float = 0.0) -> pl.DataFrame:
    """A bill's rate that is the same on each session of a span."""
    return risk_free.rates(*((day, rate_pct) for day in sessions_between(*span)))


def inputs(*, has_edge: bool = True, **changes: object) -> BriefInputs:
    """A session that sells AAPL, buys SPY and holds IBM."""
    ranking = forecasts(AAPL=0.1, IBM=0.5, SPY=0.9)
    signals = trading_signals(ranking, MEMBERS, versions(has_edge=has_edge), costs_bps=COSTS)
    marks = bars(AAPL=120.0, IBM=100.0, SPY=380.0)
    positions = {"AAPL": 30, "IBM": 5}
    targets = target_weights(signals, marks, MEMBERS, positions=positions, cash_usd=10_000.0, limits=Limits())
    decision = {"strategy": "s", "revision": "1", "account_mode": "paper", "data_mode": "sample", "costs_bps": COSTS}
    given = BriefInputs(
        session=SESSION,
        account_mode="paper",
        data_mode="sample",
        cash_usd=10_000.0,
        positions=positions,
        signals=signals,
        targets=targets,
        orders=order_intents(targets, MEMBERS, **decision),  # type: ignore[arg-type]
        refusals=pl.DataFrame(schema=REFUSALS),
        versions=versions(has_edge=has_edge),
        backtest=backtest([0.01, -0.02, 0.03] * 100, [0.01, -0.01, 0.01] * 100),
        bars=marks,
        instruments=MEMBERS,
        risk_free_rates=rates((date(2020, 1, 2), date(2022, 12, 28))),
        tables=pl.DataFrame(
            [
                ("market/daily_bars", 199_420, SESSION, 4, 0, 3),
                ("market/instruments", 29, None, 3, 0, 0),
                ("models/backtest", None, None, 0, 0, 0),
                ("features/matrix", 10, SESSION, 3, 1, 0),
            ],
            schema=TABLE_STATUS,
            orient="row",
        ),
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def refusals(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=REFUSALS, orient="row")


FAULT = refusals(("market/daily_bars", "contract", "AAPL 2022-12-28: close is NaN (rule is_finite)"))


def blank(given: BriefInputs) -> BriefInputs:
    """The same desk before anything was ever published."""
    frames = ("signals", "targets", "orders", "versions", "backtest", "bars", "instruments", "tables", "refusals")
    return replace(given, **{name: getattr(given, name).clear() for name in (*frames, "risk_free_rates")})


class _Page(HTMLParser):
    """What a browser would make of the page: its text, its tags, and whether they nest."""

    VOID = frozenset({"meta", "wbr", "br", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """The visible text, blanks collapsed, with a bar between elements."""
        return re.sub(r"\s+", " ", " | ".join(word.strip() for word in self.words if word.strip()))


def text_of(given: BriefInputs) -> str:
    return _Page(render_brief(given)).text


def test_orders_are_the_verdict_and_are_listed_with_what_they_cost() -> None:
    text = text_of(inputs())
    assert "TRADE | 2 orders for Thursday 29 December 2022" in text
    assert "Buy 1 instrument for $3,420, sell 1 for $3,600." in text
    assert (
        "SELL | 30 | 30 → 0 | 30 → 0 | AAPL | AAPL | 120.00 | fully adjusted close | 3,600.00 | cost 1.80 | 1.80"
        in text
    )
    assert "BUY | 9 | 0 → 9 | 0 → 9 | SPY | SPY | 380.00 | fully adjusted close | 3,420.00 | cost 1.03 | 1.03" in text
    assert "Account value, USD | $14,100" in text
    assert "Cash after orders and cost | $10,177" in text  # 10,000 + 3,600 - 3,420 - 2.83


def test_sales_come_before_purchases_and_large_orders_before_small_ones() -> None:
    given = inputs()
    sale = given.orders.filter(side="SELL")
    more = [
        sale.with_columns(symbol=pl.lit(symbol), estimated_value_usd=pl.lit(value))
        for symbol, value in (("SMALL", 1.0), ("LARGE", 9e6))
    ]
    text = text_of(replace(given, orders=pl.concat([given.orders, *more])))
    places = [text.index(f"| {symbol} |") for symbol in ("LARGE", "AAPL", "SMALL", "SPY")]
    assert places == sorted(places)


def test_a_decision_without_orders_says_that_there_is_nothing_to_do() -> None:
    text = text_of(inputs(orders=Orders.empty_frame()))
    assert "HOLD | Nothing to do" in text
    assert "What to do" not in text


def test_an_undecided_session_is_not_called_decided() -> None:
    text = text_of(blank(inputs()))
    assert "HOLD | Nothing was decided" in text
    assert "This session has no signals yet." in text
    assert "bentleybot run --session 2022-12-28" in text


def test_a_refusal_halts_and_says_what_was_found_and_what_to_do() -> None:
    text = text_of(inputs(orders=Orders.empty_frame(), refusals=FAULT))
    assert "HALT | 1 finding stopped this session" in text
    assert "No order was recorded." in text
    assert "market/daily_bars fails | contract | AAPL 2022-12-28: close is NaN (rule is_finite)" in text
    assert "What to do now: | The delivery breaks what the table promises; its last good version stands." in text


def test_orders_recorded_before_a_halt_are_shown_as_held_back() -> None:
    text = text_of(inputs(refusals=FAULT))
    assert "Orders below were recorded before the halt: hold them back" in text
    assert "TRADE |" not in text


def test_a_first_run_that_was_blocked_has_a_page() -> None:
    text = text_of(replace(blank(inputs(positions={})), refusals=FAULT))
    assert "HALT | 1 finding stopped this session" in text
    assert "No model version serves this session yet." in text
    assert "No positions: $10,000.00 in cash." in text
    assert "No table was published yet." in text


@pytest.mark.parametrize(
    ("orders", "found", "expected"),
    [(0, 0, "HOLD"), (1, 0, "TRADE"), (0, 1, "HALT"), (1, 1, "HALT")],
)
def test_a_refusal_outweighs_orders(orders: int, found: int, expected: str) -> None:
    assert verdict(inputs().orders.head(orders), FAULT.head(found)) == expected


def test_without_an_edge_the_page_says_so_and_with_what_evidence() -> None:
    text = text_of(inputs(has_edge=False))
    assert "No edge found. | The champion, Ridge regression (version | cccccccccccccccc | )," in text
    assert "mean rank correlation of 0.020 with what followed, over 500 out-of-sample sessions (t = 2.10)" in text
    assert "ranks are shown but decide nothing" in text
    assert "so the plan is the one that needs no model: equal parts of every member." in text
    assert "a line that leads here may owe it to luck" in text


def test_with_an_edge_nothing_is_said_of_its_absence() -> None:
    text = text_of(inputs())
    assert "The champion has shown an edge." in text
    assert "No edge" not in text
    assert "luck" not in text


def test_a_champion_without_evidence_has_none() -> None:
    columns = ("evidence_rank_ic", "evidence_rank_ic_t", "evidence_excess_return")
    new = versions(has_edge=False).with_columns(
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in columns), evidence_sessions=pl.lit(0, dtype=pl.Int64)
    )
    assert "has no out-of-sample evidence yet (0 sessions)" in text_of(inputs(has_edge=False, versions=new))


def test_every_reason_is_explained_once() -> None:
    text = text_of(inputs())
    assert "RANK_TOP_30 | The champion ranks it in the top 30 % of the universe." in text
    assert text.count("The champion ranks it in the top 30 %") == 1


def test_a_buy_that_is_trimmed_is_explained() -> None:
    given = inputs(has_edge=False)  # everything is bought, but AAPL stands above its cap
    assert "Sold although the signal is BUY: AAPL, trimmed" in text_of(given)


def test_only_the_sample_carries_the_sample_banner() -> None:
    sample, market = text_of(inputs()), text_of(inputs(data_mode="yahoo"))
    assert "SAMPLE DATA: recorded prices, not today's market." in sample
    assert "skfolio/sp500_dataset 1.12.2" in sample
    assert "SAMPLE" not in market
    assert "Prices: skfolio/sp500_dataset 1.12.2." in market


def test_paper_is_not_called_live() -> None:
    assert "PAPER ACCOUNT" in text_of(inputs())
    assert "LIVE" not in text_of(inputs())
    live = text_of(inputs(account_mode="live"))
    assert "LIVE ACCOUNT" in live
    assert "PAPER" not in live


def test_the_record_shows_return_risk_and_the_deepest_loss() -> None:
    # Grows 1 % a session but for one session that halves it; 252 sessions are one year.
    text = text_of(inputs(backtest=backtest([0.01] * 100 + [-0.5] + [0.01] * 151, [0.0] * 252)))
    annual = 1.01**251 * 0.5 - 1
    assert f"Ridge regression | {annual:.1%}".replace("%", " %") in text
    assert "| \N{MINUS SIGN}50.0 %" in text
    assert "Equal weight | 0.0 % | 0.0 % | \N{EM DASH} | 0.0 %" in text
    assert "(252 sessions)" in text
    assert "traded 5.0 times its equity a year" in text  # 2 % a session


UNAVAILABLE = "risk-free rate unavailable"


def test_the_sharpe_ratio_is_of_what_was_earned_beyond_treasury_bills() -> None:
    # 1 % and -0.5 % in turn: a mean of 0.25 % a session; bills at a discount of 5.10 %, see test_risk_free.
    given = inputs(backtest=backtest([0.01, -0.005] * 126, [0.0] * 252))
    bills = (100 / 98.710833) ** (365 / 91 / 252) - 1
    deviation = 0.0075 * math.sqrt(252 / 251)
    for rate_pct, riskless in ((0.0, 0.0), (5.10, bills)):
        told = replace(given, risk_free_rates=rates((date(2021, 1, 4), SESSION), rate_pct))
        expected = (0.0025 - riskless) / deviation * math.sqrt(252)
        assert champion_sharpe(told) == pytest.approx(expected, rel=1e-6)
        assert f"| {expected:.2f} |" in text_of(told)
        assert UNAVAILABLE not in text_of(told)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, "300 of 300 sessions, the first 20 October 2021 and the last 28 December 2022"),
        (date(2022, 11, 30), "15 of 300 sessions, the first 7 December 2022 and the last 28 December 2022"),
    ],
    ids=["no_series", "past_its_end"],
)
def test_where_a_session_has_no_risk_free_rate_there_is_no_sharpe_ratio_and_the_page_says_why(
    last: date | None, said: str
) -> None:
    known = rates((date(2021, 1, 4), last)) if last else RiskFreeRates.empty_frame()
    given = inputs(risk_free_rates=known)
    text = text_of(given)
    assert f"| \N{EM DASH} | {UNAVAILABLE} |" in text
    assert text.count(f"| {UNAVAILABLE} |") == 2  # the champion and its benchmark
    assert f"There is no Sharpe ratio: {UNAVAILABLE} for {said}; see raw/market/risk_free_rates." in text
    assert str(champion_sharpe(given)).startswith(f"{UNAVAILABLE} for {said}")


def test_a_rate_that_became_known_after_the_session_does_not_enter_the_page() -> None:
    given = inputs(risk_free_rates=rates((date(2021, 1, 4), date(2022, 11, 30))))
    later = risk_free.rates((date(2022, 12, 7), 5.0), fetched_at=datetime(2022, 12, 30, tzinfo=UTC))
    assert render_brief(replace(given, risk_free_rates=pl.concat([given.risk_free_rates, later]))) == render_brief(
        given
    )


def test_without_a_record_there_is_neither_ratio_nor_reason() -> None:
    assert champion_sharpe(blank(inputs())) is None


def test_a_loss_from_the_first_session_on_counts() -> None:
    assert "| \N{MINUS SIGN}40.0 %" in text_of(inputs(backtest=backtest([-0.4] + [0.001] * 251, [0.0] * 252)))


def test_the_deepest_loss_survives_the_thinning_of_a_long_record() -> None:
    long = backtest([0.001] * 600 + [-0.3, 0.5] + [0.001] * 798, [0.0] * 1400)
    html = render_brief(inputs(backtest=long))
    drawdowns = re.findall(r"<title>Loss since.*?</svg>", html)
    assert len(drawdowns) == 2
    for drawn in drawdowns:
        heights = re.findall(r' ([\d.]+)(?=[L"])', drawn.split('class="line champion"')[-1])
        assert max(map(float, heights)) - min(map(float, heights)) > 80  # 30 % below zero, in either size


def test_what_came_after_the_session_does_not_enter_the_page() -> None:
    given = inputs()
    later = given.backtest.tail(1).with_columns(session=date(2022, 12, 29), net_return=pl.lit(9.0))
    assert render_brief(replace(given, backtest=pl.concat([given.backtest, later]))) == render_brief(given)


def test_the_challenger_is_drawn_beside_the_champion() -> None:
    given = inputs()
    both = pl.concat([given.backtest, given.backtest.with_columns(algorithm=pl.lit("momentum"))])
    assert "12-1 month momentum" in text_of(replace(given, backtest=both)).split("What following it")[1]


def test_a_held_instrument_without_a_price_leaves_the_account_unvalued() -> None:
    given = inputs(
        orders=Orders.empty_frame(), targets=TargetWeights.empty_frame(), refusals=FAULT, bars=bars(IBM=100.0)
    )
    text = text_of(given)
    assert "AAPL | AAPL | 30 | \N{EM DASH} | \N{EM DASH}" in text
    assert "A price of this session is missing, so the account cannot be valued." in text


def test_an_account_that_is_unknown_is_not_made_up() -> None:
    text = text_of(inputs(cash_usd=None, positions={}))
    assert "What the account held when this session was decided was not recorded." in text
    assert (
        "Account value, USD | \N{EM DASH} | Cash now | \N{EM DASH} | Cash after orders and cost | \N{EM DASH}" in text
    )
    assert "in cash." not in text


def test_the_state_of_each_table_is_shown() -> None:
    text = text_of(inputs())
    assert "market/ | daily_bars | 199,420 | 2022-12-28 | 4 passed | 3" in text
    assert "features/ | matrix | 10 | 2022-12-28 | 1 failed | 3 passed | 0" in text
    assert "models/ | backtest | never published | \N{EM DASH} | none run | 0" in text


def test_the_same_inputs_give_the_same_bytes_in_any_order() -> None:
    given = inputs()
    shuffled = replace(
        given,
        **{
            name: getattr(given, name).reverse()
            for name in (
                *("signals", "targets", "orders", "versions", "backtest", "bars", "instruments", "tables"),
                "risk_free_rates",
            )
        },
        positions=dict(reversed(given.positions.items())),
    )
    assert render_brief(shuffled) == render_brief(given)


EVIL = "<script>alert('x')</script><img src=//evil onerror=alert(1)>\"'&{{ 7 * 7 }}"


def test_whatever_the_data_say_the_page_runs_nothing_and_loads_nothing() -> None:
    given = inputs()
    poisoned = replace(
        given,
        refusals=refusals((EVIL, EVIL, EVIL)),
        instruments=given.instruments.with_columns(name=pl.lit(EVIL)),
        orders=given.orders.with_columns(symbol=pl.lit(EVIL)),
        signals=given.signals.with_columns(symbol=pl.lit(EVIL)),
        bars=given.bars.with_columns(source=pl.lit(EVIL)),
        tables=given.tables.with_columns(table=pl.lit(EVIL)),
        versions=given.versions.with_columns(algorithm=pl.lit(EVIL), model_version=pl.lit(EVIL)),
        backtest=given.backtest.with_columns(algorithm=pl.lit(EVIL)),
        positions={EVIL: 3},
    )
    html = render_brief(poisoned)
    page = _Page(html)
    assert EVIL in " ".join(page.words)
    for given_page in (page, _Page(render_brief(given))):
        assert not given_page.tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
        names = {name for name, _ in given_page.attributes}
        assert not names & {"src", "href", "srcset", "action", "onerror", "onload", "onclick"}
        addresses = {value for _, value in given_page.attributes if "//" in value}
        assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a vocabulary; nothing is fetched
    assert "url(" not in html
    assert "@import" not in html


def test_the_frames_of_the_contracts_are_enough_when_empty() -> None:
    assert "HOLD" in text_of(replace(blank(inputs()), bars=DailyBars.empty_frame(), backtest=Backtest.empty_frame()))
