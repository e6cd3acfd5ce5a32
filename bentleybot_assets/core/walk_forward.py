"""Who may learn from what: yearly refits on purged windows, and the forecasts they make.

Belongs here: training windows, fitting, forecasting, the identity of a model version. Does not belong here:
judging versions (``model_versions``), registering them (``resources.mlflow``).

Rules, the same for every year Y:

- Training rows are member sessions whose label had left its position before the first session of Y and was known
  before that day began, so nothing in them is later than the first decision of Y. The window reaches
  back to the start of the eighth year before Y.
- A feature is used if at least 95 % of those rows have it. A row that lacks a used feature is not trained on,
  and a member that lacks one gets no forecast.
- Ridge needs 500 complete rows, otherwise the year has no ridge version. Momentum is not fitted; it serves
  each year before which the outcome of at least one session was known.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from bentleybot_assets.contracts.models import OutOfSample
from bentleybot_assets.contracts.sessions import cut_off, next_session
from bentleybot_assets.core._frames import require_sorted
from bentleybot_assets.core.matrix import FEATURES

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge
    from threadpoolctl import ThreadpoolController

ARITHMETIC_VERSION = 1
"""Raise it with every change to how a version is trained: it enters ``model_version``."""

WINDOW_YEARS = 8
MIN_TRAINING_ROWS = 500
MIN_FEATURE_COVERAGE = 0.95

RIDGE_ALPHA = 100.0
"""Penalty. Chosen once, not tuned: with one trial there is nothing to deflate."""

TARGET = "forward_rank"
MOMENTUM = "momentum_12_1"


@dataclass(frozen=True)
class Refit:
    """One model version: what it was trained on and which sessions it serves.

    Attributes:
        identity: what its name is made from, beside the training rows.
        serves_to: the end of the year; it need not be a session.
        newest_exit_session: by then every outcome in the training window was known; before ``serves_from``.
        training: the rows it was fitted on (symbol, session, features, ``forward_rank``), sorted by session
            and symbol; empty for momentum, which is not fitted.
    """

    algorithm: str
    identity: tuple[object, ...]
    serves_from: date
    serves_to: date
    train_start: date
    train_end: date
    newest_exit_session: date
    features: tuple[str, ...]
    parameters: str
    training: pl.DataFrame

    @functools.cached_property
    def model_version(self) -> str:
        """Name of the version: the hash of code, parameters and training rows."""
        digest = hashlib.sha256(repr(self.identity).encode())
        if self.training.height:
            digest.update(self.training.select(*self.features, TARGET).to_numpy(order="c").tobytes())
        return digest.hexdigest()[:16]


def refits(
    matrix: pl.DataFrame, labels: pl.DataFrame, *, horizon: int, serving_since: date = date.min
) -> Iterator[Refit]:
    """The model versions of each year of the matrix, oldest first; within a year momentum before ridge.

    Args:
        matrix: contract ``features/matrix``, sorted by symbol and session.
        labels: contract ``models/labels``; only rows of ``horizon`` sessions are used.
        horizon: horizon of the label, in sessions.
        serving_since: leaves out versions that serve only sessions before this day.

    Raises:
        ValueError: the matrix is not sorted, or mixes feature versions.
    """
    require_sorted(matrix, ("symbol", "session"), "features/matrix")
    if matrix.is_empty():
        return
    feature_version = _only_feature_version(matrix)
    outcomes = labels.filter(pl.col("horizon_sessions") == horizon).select(
        "symbol", "session", "exit_session", TARGET, outcome_available_at="available_at"
    )
    examples = (
        matrix.select("symbol", "session", *FEATURES).join(outcomes, on=["symbol", "session"]).sort("session", "symbol")
    )
    years = matrix["session"].dt.year().unique().sort()
    for year in years.filter(years >= serving_since.year):
        # The last session of a year may lie beyond the session table; its last day never does.
        serves_from, serves_to = next_session(date(year - 1, 12, 31)), date(year, 12, 31)
        known = examples.filter(
            pl.col("session") >= date(year - WINDOW_YEARS, 1, 1),
            pl.col("exit_session") < serves_from,
            pl.col("outcome_available_at") <= cut_off(serves_from - timedelta(days=1)),
        )
        if known.is_empty():
            continue
        window = _Window(serves_from, serves_to, known, horizon, feature_version)
        yield window.momentum()
        ridge = window.ridge()
        if ridge is not None:
            yield ridge


def fit(training: pl.DataFrame, features: tuple[str, ...]) -> Ridge:
    """Fit ridge regression of ``forward_rank`` on ``features``.

    BLAS is held to one thread: the order of its sums, and so the last bits of the coefficients, would
    otherwise depend on the number of cores.

    Args:
        training: rows without missing values, in the order of :attr:`Refit.training`.
        features: columns to use. The model remembers them and refuses others.
    """
    from sklearn.linear_model import Ridge

    with _thread_pools().limit(limits=1, user_api="blas"):
        return Ridge(alpha=RIDGE_ALPHA, solver="cholesky").fit(training.select(features), training[TARGET].to_numpy())


def forecast(model: Ridge, matrix: pl.DataFrame) -> pl.DataFrame:
    """Score members with a fitted model; a score depends on its own row only.

    Args:
        model: as :func:`fit` returned it, or loaded from the registry.
        matrix: rows of ``features/matrix``.

    Returns:
        Columns symbol, session, score, in the order of ``matrix``. A member that lacks a feature the model
        uses has no row: filling the gap would be a guess.
    """
    features = list(model.feature_names_in_)
    complete = matrix.select("symbol", "session", *features).drop_nulls(features)
    if complete.is_empty():
        return complete.select("symbol", "session", score=pl.lit(None, dtype=pl.Float64))
    # One multiplication and one sum per feature, in their order: a row's score is the same to the last bit
    # whether it is forecast alone or with a whole year, which a matrix product does not promise.
    terms = [pl.col(name) * weight for name, weight in zip(features, model.coef_.tolist(), strict=True)]
    score = pl.lit(float(model.intercept_))
    for term in terms:
        score = score + term
    return complete.select("symbol", "session", score=score)


def walk_forward(matrix: pl.DataFrame, labels: pl.DataFrame, *, horizon: int) -> pl.DataFrame:
    """Forecasts of every session by the versions that served it, as contract ``models/out_of_sample``.

    Momentum's score is the rank of ``momentum_12_1``; ridge's is the predicted ``forward_rank``.

    Args:
        matrix: contract ``features/matrix``, sorted by symbol and session.
        labels: contract ``models/labels``.
        horizon: horizon of the label, in sessions.

    Raises:
        ValueError: the matrix is not sorted, or mixes feature versions.
    """
    forecasts = [_served(refit, matrix) for refit in refits(matrix, labels, horizon=horizon)]
    if not forecasts:
        return OutOfSample.empty_frame()
    return pl.concat(forecasts).sort("algorithm", "symbol", "session")


def _served(refit: Refit, matrix: pl.DataFrame) -> pl.DataFrame:
    """The forecasts of one version for the sessions it serves."""
    rows = matrix.filter(pl.col("session").is_between(refit.serves_from, refit.serves_to))
    if refit.algorithm == "momentum":
        scores = rows.select("symbol", "session", score=pl.col(MOMENTUM)).drop_nulls("score")
    else:
        scores = forecast(fit(refit.training, refit.features), rows)
    return scores.select(pl.lit(refit.algorithm).alias("algorithm"), "symbol", "session", "score")


@dataclass(frozen=True)
class _Window:
    """What is known when a year begins: member sessions with features and outcome."""

    serves_from: date
    serves_to: date
    known: pl.DataFrame
    horizon: int
    feature_version: str

    def momentum(self) -> Refit:
        return self._refit("momentum", (MOMENTUM,), {}, self.known, self.known.clear())

    def ridge(self) -> Refit | None:
        needed = MIN_FEATURE_COVERAGE * self.known.height
        present = self.known.select(pl.col(FEATURES).count()).row(0, named=True)
        features = tuple(name for name in FEATURES if present[name] >= needed)
        if not features:
            return None
        complete = self.known.drop_nulls(features)
        if complete.height < MIN_TRAINING_ROWS:
            return None
        training = complete.select("symbol", "session", *features, TARGET)
        parameters = {"alpha": RIDGE_ALPHA, "window_years": WINDOW_YEARS}
        return self._refit("ridge", features, parameters, complete, training)

    def _refit(
        self,
        algorithm: str,
        features: tuple[str, ...],
        parameters: dict[str, float],
        window: pl.DataFrame,
        training: pl.DataFrame,
    ) -> Refit:
        settings = json.dumps(parameters, sort_keys=True)
        versions = (self.feature_version, ARITHMETIC_VERSION)
        return Refit(
            algorithm=algorithm,
            identity=(algorithm, settings, self.horizon, features, *versions, self.serves_from.isoformat()),
            serves_from=self.serves_from,
            serves_to=self.serves_to,
            train_start=window["session"][0],
            train_end=window["session"][-1],
            newest_exit_session=window.select(pl.col("exit_session").max()).item(),
            features=features,
            parameters=settings,
            training=training,
        )


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The linear algebra libraries that scikit-learn has loaded; finding them takes longer than a fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _only_feature_version(matrix: pl.DataFrame) -> str:
    versions = matrix["feature_version"].unique().sort()
    if len(versions) != 1:
        raise ValueError(
            f"features/matrix mixes feature versions {', '.join(versions)}. Materialise features/matrix whole."
        )
    return str(versions[0])
