"""MLflow as a Dagster resource: one run per training asset, and a registry that is trusted only as far as its hashes.

Belongs here: opening and closing MLflow runs, registering and loading models. Does not belong here: what is
trained, or which version decides (``core``).

Of dagster-mlflow this uses what holds up: its tag ``dagster_run_id``, its attribute names and its chunking of
parameters. Its resource and its end hook keep the current run in state shared by the whole process and look it up
by tag, which with several processes opens two runs or leaves one open; here each run belongs to one ``with`` block and
is addressed by its id. MLflow's settings, environment and active run are left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

if TYPE_CHECKING:
    import polars as pl
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.base import BaseEstimator

CHAMPION = "champion"
"""Alias of the version that decides."""

TRUSTED_TYPES: tuple[str, ...] = ()
"""Types a model may contain beyond those skops trusts by itself. Linear models need none; review each before adding."""

_MODEL_FILE = "model.skops"
_MODEL_VERSION = "model_version"
_MANIFEST = "sha256_manifest"
_PINNED = ("scikit-learn", "skops", "numpy", "scipy")


class UntrustedModelError(RuntimeError):
    """A registered model is not what was registered, or holds more than data."""


class Mlflow(dg.ConfigurableResource):  # type: ignore[type-arg]
    """MLflow tracking and registry.

    Attributes:
        tracking_uri: ``sqlite:///path/to/mlflow.db``, another database, or the address of a tracking server.
        artifact_root: folder for models and files; a tracking server has its own and ignores it.
        experiment: MLflow experiment that collects the runs.
    """

    tracking_uri: str
    artifact_root: str
    experiment: str = "bentleybot"

    @contextmanager
    def training_run(self, context: dg.AssetExecutionContext) -> Iterator[TrainingRun]:
        """One MLflow run for the asset that ``context`` belongs to.

        It ends FINISHED if the block does, FAILED if an exception or a generator's end leaves it, KILLED if it is
        interrupted. Runs of the same asset that a dead process left RUNNING are set to KILLED first.

        Yields:
            The run. A table asset yields its frame inside the block, so that a refused frame fails the run.
        """
        client = self._client()
        experiment_id = self._experiment_id(client)
        asset = context.asset_key.to_user_string()
        _close_abandoned_runs(client, experiment_id, asset, context.instance)
        # All tags in the same transaction as the run: whenever this process dies, its run can be told apart.
        tags = {
            "dagster_run_id": context.run_id,
            "asset_key": asset,
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "process_started": str(_process_started(os.getpid())),
        }
        run_id = client.create_run(experiment_id, run_name=asset, tags=tags).info.run_id
        try:
            yield TrainingRun(client, experiment_id, run_id, context.asset_key.path[-1], self.tracking_uri)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            client.set_terminated(run_id, "KILLED")
            raise
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")

    def load(self, model_version: str) -> Any:
        """The fitted estimator of a registered version.

        Every file is compared with the hashes taken when it was registered before any of it is used. The estimator is
        read by skops, which builds known types from data; nothing else MLflow could load (pickle, code beside the
        model, a loader named in MLmodel) is ever opened.

        Raises:
            LookupError: no such version is registered, or its files are gone.
            UntrustedModelError: the files differ from those registered, or hold types that are not trusted.
        """
        version = _registered(self._client(), model_version)
        fix = "Materialise models/return_forecaster to register it"
        if version is None:
            raise LookupError(f"Model version {model_version} is not registered in {self.tracking_uri}. {fix}.")
        with _artifacts_of(version, self.tracking_uri) as folder:
            differences = _differences(version, folder)
            if not any(folder.iterdir()):
                raise LookupError(
                    f"The files of model version {model_version} are gone from {version.source}. {fix} again."
                )
            if differences:
                raise UntrustedModelError(
                    f"Model version {model_version} in {version.source} is not what was registered: "
                    f"{', '.join(differences)}. Find out who changed it; then {fix.lower()} again."
                )
            return _read_estimator((folder / _MODEL_FILE).read_bytes(), f"{model_version} in {version.source}")

    def _client(self) -> MlflowClient:
        _import_quietly()
        from mlflow import MlflowClient

        _create_sqlite_store(self.tracking_uri)
        return MlflowClient(self.tracking_uri, self.tracking_uri)

    def _experiment_id(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        has_own_artifacts = self.tracking_uri.startswith(("http://", "https://"))
        location = None if has_own_artifacts else Path(self.artifact_root).resolve().as_uri()
        try:
            client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException as error:
            _unless_it_exists(error)
        experiment = client.get_experiment_by_name(self.experiment)
        if location is not None and experiment.artifact_location != location:
            raise ValueError(
                f"Experiment {self.experiment} in {self.tracking_uri} keeps its files in {experiment.artifact_location}, "
                f"not in {location}. Was the folder moved? Move it back, or set the MLflow database aside to begin anew."
            )
        return str(experiment.experiment_id)


@dataclass(frozen=True)
class TrainingRun:
    """An open MLflow run. Whatever has no method here: ``tracking_client`` with ``mlflow_run_id``.

    Attributes:
        tracking_client: MLflow's client.
        experiment_id: the experiment it belongs to.
        mlflow_run_id: its id.
        registered_model: name under which its models are registered.
        tracking_uri: where it is recorded.
    """

    tracking_client: MlflowClient
    experiment_id: str
    mlflow_run_id: str
    registered_model: str
    tracking_uri: str

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record what was chosen."""
        from dagster_mlflow.resources import MlFlow
        from mlflow.entities import Param

        for chunk in MlFlow.chunks(dict(params), 100):
            values = [Param(name, str(value)) for name, value in chunk.items()]
            self.tracking_client.log_batch(self.mlflow_run_id, params=values)

    def log_metrics(self, metrics: Mapping[str, float | None]) -> None:
        """Record what came of it; a value that is missing (None) has no metric."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(name, value, now, 0) for name, value in metrics.items() if value is not None]
        self.tracking_client.log_batch(self.mlflow_run_id, metrics=values)

    def log_frame(self, name: str, frame: pl.DataFrame) -> None:
        """Record a frame as the artifact ``<name>.parquet``."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.parquet")
            frame.write_parquet(path)
            self.tracking_client.log_artifact(self.mlflow_run_id, str(path))

    def register(self, model_version: str, estimator: BaseEstimator) -> str:
        """Log a fitted estimator and register it; a version that is registered and intact stays as it is.

        Args:
            model_version: our own version, the hash of data, code and parameters.
            estimator: fitted scikit-learn estimator; it must consist of types skops trusts and ``TRUSTED_TYPES``.

        Returns:
            MLflow's version number.

        Raises:
            UntrustedModelError: the estimator holds other types, and could not be loaded again.
        """
        present = _registered(self.tracking_client, model_version)
        if present is not None:
            with _artifacts_of(present, self.tracking_uri) as folder:
                if not _differences(present, folder):
                    return str(present.version)
        with tempfile.TemporaryDirectory() as folder:
            _write_model(Path(folder), estimator, model_version)
            return self._register_folder(Path(folder), model_version)

    def promote(self, model_version: str) -> None:
        """Point the alias ``champion`` to a version.

        If it is not registered (a baseline that is not fitted), nothing keeps the alias: no other version decides.
        """
        version = _registered(self.tracking_client, model_version)
        if version is None:
            self.tracking_client.delete_registered_model_alias(self.registered_model, CHAMPION)
        else:
            self.tracking_client.set_registered_model_alias(self.registered_model, CHAMPION, version.version)

    def _register_folder(self, folder: Path, model_version: str) -> str:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus
        from mlflow.exceptions import MlflowException

        client = self.tracking_client
        model = client.create_logged_model(
            self.experiment_id,
            name=self.registered_model,
            source_run_id=self.mlflow_run_id,
            tags={_MODEL_VERSION: model_version},
        )
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(self.mlflow_run_id, [LoggedModelOutput(model.model_id, step=0)])
        try:
            client.create_registered_model(self.registered_model)
        except MlflowException as error:
            _unless_it_exists(error)
        # Last, and with both tags at once: a version that can be found has all its files and their hashes.
        version = client.create_model_version(
            self.registered_model,
            source=model.artifact_location,
            run_id=self.mlflow_run_id,
            model_id=model.model_id,
            tags={_MODEL_VERSION: model_version, _MANIFEST: json.dumps(_manifest(folder))},
        )
        return str(version.version)


def _import_quietly() -> None:
    """Import MLflow without telemetry, progress messages or warnings about its age."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        import dagster_mlflow  # noqa: F401
        import mlflow  # noqa: F401
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def _create_sqlite_store(tracking_uri: str) -> None:
    """Create MLflow's SQLite file if there is none, whole or not at all.

    MLflow builds its schema by 69 migrations that are not one transaction: a process killed among them leaves a file
    that no later run can use. So they run on a file beside, which needs no syncing to disk until it is complete.
    """
    url = make_url(tracking_uri) if tracking_uri.startswith("sqlite") else None
    if url is None or url.database in (None, "", ":memory:") or Path(url.database).exists():
        return
    from mlflow import MlflowClient

    store = Path(url.database).resolve()
    store.parent.mkdir(parents=True, exist_ok=True)
    unfinished = store.with_name(f".{store.name}.{uuid.uuid4().hex}")
    with _unsynced(unfinished):
        MlflowClient(str(url.set(database=str(unfinished))))
    descriptor = os.open(unfinished, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    try:
        unfinished.hardlink_to(store) if False else os.link(unfinished, store)
    except FileExistsError:
        # Another process was first, and may have written to its file already.
        pass
    unfinished.unlink()
