"""Model tables: what is predicted, which model versions exist, and what following them would have earned."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, Utc, column

ALGORITHMS = ("momentum", "ridge")


class Labels(Contract):
    """What the models predict: the return of an instrument bought one session after the decision.

    A label of session t is entered at the close of t+1 and left at the close of t+1+horizon, so no trade
    happens at a price that the decision has seen. Sessions whose outcome is not known yet have no row.
    """

    _rules = TableRules(grain=("symbol", "session", "horizon_sessions"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Session of the decision")
    horizon_sessions: int = column("Sessions the position is held", unit="sessions", ge=1)
    entry_session: pl.Date = column("Session at whose close the position is entered")
    exit_session: pl.Date = column("Session at whose close the position is left")
    forward_return: float = column("Total return from entry to exit", unit="fraction", gt=-1)
    forward_rank: float = column("Rank of forward_return among the session's members", ge=-0.5, le=0.5)
    available_at: Utc = column("When the outcome could first be known")


class OutOfSample(Contract):
    """Walk-forward forecasts: each session is forecast by a model that was fitted before it.

    One refit a year. The training window ends so early that every label in it was known when the year began
    (purged by the horizon).
    """

    _rules = TableRules(grain=("algorithm", "symbol", "session"))

    algorithm: str = column("Who forecasts", isin=ALGORITHMS)
    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Session of the decision")
    score: float = column("Predicted forward rank; comparable within one algorithm and session only")


class ReturnForecaster(Contract):
    """Every model version: one per algorithm and yearly refit, with the evidence known when it took over.

    ``evidence_*`` describe the out-of-sample forecasts of earlier versions whose outcomes were known at
    ``train_end``; nothing in a row changes when later data arrive.
    """

    _rules = TableRules(grain=("model_version",))

    model_version: str = column("Hash of training data, code and parameters", str_matches=r"^[0-9a-f]{16}$")
    algorithm: str = column("How it forecasts", isin=ALGORITHMS)
    serves_from: pl.Date = column("First session it forecasts")
    serves_to: pl.Date = column("Last day it may forecast")
    train_start: pl.Date = column("First session of the training window")
    train_end: pl.Date = column("Last session whose label outcome was known and used")
    newest_exit_session: pl.Date = column("Session by which the newest training outcome was known")
    horizon_sessions: int = column("Horizon of the label", unit="sessions", ge=1)
    training_rows: int = column("Rows trained on", ge=0)
    features: str = column("Features used, comma separated", is_long=True)
    parameters: str = column("Hyper-parameters as JSON", is_long=True)
    evidence_sessions: int = column("Out-of-sample sessions behind the evidence", unit="sessions", ge=0)
    evidence_rank_ic: float = column("Mean out-of-sample rank IC", nullable=True, ge=-1, le=1)
    evidence_rank_ic_t: float = column("Its t statistic, Newey-West with horizon lags", nullable=True)
    evidence_excess_return: float = column(
        "Out-of-sample annual return net of cost less the equal-weight universe's",
        unit="fraction",
        nullable=True,
    )
    is_champion: bool = column("Decides the signals of the sessions it serves")
    has_edge: bool = column("The evidence supports using it; otherwise signals follow the no-model allocation")


class Backtest(Contract):
    """What following each algorithm's out-of-sample forecasts would have returned, net of cost.

    Long-only, rebalanced every ``horizon_sessions`` sessions into the best-ranked members, entered one session
    after the forecast. The universe is today's list, so survivorship flatters every column alike.
    """

    _rules = TableRules(grain=("algorithm", "session"))

    algorithm: str = column("Whose forecasts were followed", isin=ALGORITHMS)
    session: pl.Date = column("Exchange session")
    gross_return: float = column("Return before cost", unit="fraction", gt=-1)
    cost: float = column("Trading cost", unit="fraction", ge=0)
    net_return: float = column("Return after cost", unit="fraction", gt=-1)
    benchmark_return: float = column("Return of the equal-weight universe, net of cost", unit="fraction", gt=-1)
    turnover: float = column("Traded value, both sides, over equity", unit="fraction", ge=0)
    rank_ic: float = column(
        "Rank correlation of this session's forecasts with what followed", nullable=True, ge=-1, le=1
    )
