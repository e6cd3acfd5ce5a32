"""MLflow as a Dagster resource: one run per training asset, and a registry trusted as far as its hashes.

Belongs here: opening and closing MLflow runs, registering and loading models. Does not belong here: what is
trained, or which version decides (``core``).

Of dagster-mlflow this uses what holds up: its tag ``dagster_run_id``, its attribute names and its chunking of
parameters. Its resource and its end hook keep the current run in state shared by the whole process and look
it up by tag, which with several processes opens two runs or leaves one open; here each run belongs to one
``with`` block and is addressed by its id. MLflow's settings, environment and active run are left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import dagster as dg

from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.resources.processes import is_gone, name_of_this_process

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.base import BaseEstimator

CHAMPION = "champion"
"""Alias of the version that decides."""

TRUSTED_TYPES: tuple[str, ...] = ()
"""Types a model may hold beyond those skops trusts by itself. Linear models need none; review each."""

_MODEL_FILE = "model.skops"
_MODEL_VERSION = "model_version"
_MANIFEST = "sha256_manifest"
_PINNED = ("scikit-learn", "skops", "numpy", "scipy")
_PROBE_SECONDS = 5
_PURPOSE = "of MLflow's runs"
_LOGIN_REFUSED = (401, 403)


class UntrustedModelError(RuntimeError):
    """A registered model is not what was registered, or holds more than data."""


class TrackingServerError(RuntimeError):
    """The tracking server cannot be used. The message names its address, what is wrong and how to mend it."""


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

        It ends FINISHED if the block does, FAILED if an exception or a generator's end leaves it, KILLED if
        it is interrupted. Runs of the same asset that a dead process left RUNNING are set to KILLED first.

        Yields:
            The run. A table asset yields its frame inside the block, so that a refused frame fails the run.

        Raises:
            TrackingServerError: the tracking server does not answer, or not as one.
        """
        client = self._client()
        experiment_id = self._experiment_id(client)
        asset = context.asset_key.to_user_string()
        _close_abandoned_runs(client, experiment_id, asset, context.instance)
        # All tags in the same transaction as the run: whenever this process dies, its run can be told apart.
        tags = {
            "dagster_run_id": context.run.run_id,
            "asset_key": asset,
            **name_of_this_process(),
        }
        run_id = client.create_run(experiment_id, run_name=asset, tags=tags).info.run_id
        try:
            yield TrainingRun(client, experiment_id, run_id, context.asset_key.path[-1], self.address)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            client.set_terminated(run_id, "KILLED")
            raise
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")

    def load(self, model_version: str) -> Any:
        """The fitted estimator of a registered version.

        Every file is compared with the hashes taken when it was registered before any of it is used. The
        estimator is read by skops, which builds known types from data; nothing else MLflow could load
        (pickle, code beside the model, a loader named in MLmodel) is ever opened.

        Raises:
            LookupError: no such version is registered, or its files are gone.
            UntrustedModelError: the files differ from those registered, or hold types that are not trusted.
            TrackingServerError: the tracking server does not answer, or not as one.
        """
        where = f"Model version {model_version}"
        fix = "Materialise models/return_forecaster to register it"
        version = _registered(self._client(), model_version)
        if version is None:
            raise LookupError(f"{where} is not registered in {_shown(self.tracking_uri)}. {fix}.")
        with _artifacts_of(version, self.address) as folder:
            if not any(folder.iterdir()):
                raise LookupError(f"{where} is registered, but its files are gone from {version.source}. {fix} again.")
            if differences := _differences(version, folder):
                raise UntrustedModelError(
                    f"{where} in {version.source} is not what was registered: {', '.join(differences)}. "
                    f"Find out who changed it. {fix} again."
                )
            return _read_estimator(folder / _MODEL_FILE, f"{where} in {version.source}")

    def check(self) -> str | None:
        """Ask the tracking server for our experiment, once; None if it answers, otherwise what is wrong.

        Where no server but a file or another database is named, there is nobody to ask.
        """
        if not self._is_server:
            return None
        _import_quietly()
        from mlflow.exceptions import MlflowException
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        where = f"The MLflow server at {_shown(self.tracking_uri)} (MLFLOW_TRACKING_URI)"
        try:
            # MLflow's own function, so that its certificates and logins count; but not its minutes of retries.
            answer = http_request(
                get_default_host_creds(self.tracking_uri),
                "/api/2.0/mlflow/experiments/get-by-name",
                "GET",
                params={"experiment_name": self.experiment},
                max_retries=0,
                timeout=_PROBE_SECONDS,
                raise_on_status=False,
            )
        except MlflowException as error:
            return (
                f"{where} does not answer: {_innermost(error)}. Start it, mend the address, or unset "
                "MLFLOW_TRACKING_URI to keep runs and models in the desk's own folder."
            )
        if answer.status_code in _LOGIN_REFUSED:
            return (
                f"{where} refuses the login (HTTP {answer.status_code}). Export MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD."
            )
        if answer.ok or "RESOURCE_DOES_NOT_EXIST" in answer.text:
            return None
        return f"{where} answers HTTP {answer.status_code}, as no working MLflow server does. Mend it or the address."

    @property
    def _is_server(self) -> bool:
        return self.tracking_uri.startswith(("http://", "https://"))

    def upgrade(self) -> None:
        """Create or migrate MLflow's tables; a tracking server sees to its own."""
        if self._is_server:
            return
        _import_quietly()
        from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

        self._client()
        _upgrade_db(create_sqlalchemy_engine_with_retry(self.address))

    @property
    def address(self) -> str:
        """Where MLflow connects to, password included: for MLflow alone."""
        return self.tracking_uri

    def _client(self) -> MlflowClient:
        if self._is_server and (problem := self.check()):
            raise TrackingServerError(problem)
        _import_quietly()
        from mlflow import MlflowClient

        address = self.address
        _create_sqlite_store(address)
        return MlflowClient(address, address)

    def _experiment_id(self, client: MlflowClient) -> str:
        location = None if self._is_server else Path(self.artifact_root).resolve().as_uri()
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            if not self._is_server:
                Path(self.artifact_root).mkdir(parents=True, exist_ok=True)
            with _tolerating("RESOURCE_ALREADY_EXISTS"):
                client.create_experiment(self.experiment, artifact_location=location)
            return self._experiment_id(client)
        kept = experiment.artifact_location
        if (
            location is None
            and urlparse(kept).scheme == "file"
            and not Path(url2pathname(urlparse(kept).path)).is_dir()
        ):
            raise ValueError(
                f"Experiment {self.experiment} in {_shown(self.tracking_uri)} was begun without a tracking server and "
                f"keeps its files in {kept}, which this machine does not have. Run on the machine that has it, or set "
                "the MLflow database aside to begin anew."
            )
        if location not in (None, kept):
            remedy = (
                "They travel through an MLflow server: set MLFLOW_TRACKING_URI to its address"
                if urlparse(kept).scheme == "mlflow-artifacts"
                else "Was the folder moved? Move it back"
            )
            raise ValueError(
                f"Experiment {self.experiment} in {_shown(self.tracking_uri)} keeps its files in {kept}, not in "
                f"{location}. {remedy}, or set the MLflow database aside to begin anew."
            )
        return str(experiment.experiment_id)


class MySqlMlflow(Mlflow):
    """MLflow in a database of the desk's own server.

    Attributes:
        account: the server's account; runs are in ``<database>_mlflow``. What ``tracking_uri`` says is only shown.
    """

    account: MySqlAccount

    def check(self) -> str | None:
        """Open a connection, as MLflow will; None if that works, otherwise what is wrong."""
        try:
            self._server().settled(_PURPOSE)
        except MySqlError as error:
            return str(error)
        return None

    def _server(self) -> MySqlServer:
        server = self.account.server()
        return server.at(f"{server.database}_mlflow")

    @property
    def address(self) -> str:
        """The database's, password included: for MLflow alone."""
        from mlflow.store.db import utils

        from bentleybot_assets.mysql_engine import engine_url

        # It would ask ten times over minutes whether there is a server; the engine of this address has waited for it.
        utils.MAX_RETRY_COUNT = 1
        return engine_url(self._server(), _PURPOSE)


@dataclass(frozen=True)
class TrainingRun:
    """An open MLflow run. Whatever has no method here: ``tracking_client`` with ``mlflow_run_id``.

    Attributes:
        tracking_client: MLflow's client.
        experiment_id: the experiment it belongs to.
        mlflow_run_id: its id.
        registered_model: name under which its models are registered.
        tracking_uri: where it is recorded, a password included.
    """

    tracking_client: MlflowClient
    experiment_id: str
    mlflow_run_id: str
    registered_model: str
    tracking_uri: str = field(repr=False)

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

    def register(self, model_version: str, estimator: BaseEstimator) -> str:
        """Log a fitted estimator and register it; a version that is registered and intact stays as it is.

        Args:
            model_version: our own version, the hash of data, code and parameters.
            estimator: fitted scikit-learn estimator; it must consist of types skops trusts and
                ``TRUSTED_TYPES``.

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
        with tempfile.TemporaryDirectory() as scratch:
            _write_model(estimator, Path(scratch))
            return self._register_folder(Path(scratch), model_version)

    def promote(self, model_version: str) -> None:
        """Point the alias ``champion`` to a version.

        If it is not registered (a baseline that is not fitted), nobody keeps the alias: no other version
        decides.
        """
        version = _registered(self.tracking_client, model_version)
        if version is not None:
            self.tracking_client.set_registered_model_alias(version.name, CHAMPION, version.version)
        else:
            with _tolerating("RESOURCE_DOES_NOT_EXIST"):
                self.tracking_client.delete_registered_model_alias(self.registered_model, CHAMPION)

    def _register_folder(self, folder: Path, model_version: str) -> str:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

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
        with _tolerating("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(self.registered_model)
        # Last, and with both tags at once: a version that can be found has all its files and their hashes.
        version = client.create_model_version(
            self.registered_model,
            source=model.artifact_location,
            run_id=self.mlflow_run_id,
            model_id=model.model_id,
            tags={_MODEL_VERSION: model_version, _MANIFEST: json.dumps(_manifest(folder))},
        )
        return str(version.version)


def _shown(tracking_uri: str) -> str:
    """The address as messages may show it: without its password."""
    from sqlalchemy.engine import make_url

    return make_url(tracking_uri).render_as_string(hide_password=True)


def _innermost(error: BaseException) -> BaseException:
    """What an error began with: those around it repeat the whole request."""
    while behind := error.__cause__ or error.__context__:
        error = behind
    return error


def _import_quietly() -> None:
    """Import MLflow without telemetry, progress bars, progress messages, links to runs or warnings about its age."""
    # Written, not read: MLflow has no other switches, and looks at the first once, when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # noqa: TID251
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # noqa: TID251
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # noqa: TID251
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        import dagster_mlflow  # noqa: F401
        import mlflow  # noqa: F401
    logging.getLogger("mlflow").setLevel(logging.WARNING)


@contextmanager
def _tolerating(error_code: str) -> Iterator[None]:
    """Go on after the one MLflow error that means there is nothing to do."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != error_code:
            raise


def _create_sqlite_store(tracking_uri: str) -> None:
    """Create MLflow's SQLite file if there is none, whole or not at all.

    MLflow builds its schema by dozens of migrations that are not one transaction: a process killed among them
    leaves a file that no later run can use. So they run on a file beside it, which is put in place when it is
    complete.
    """
    from sqlalchemy.engine import make_url

    url = make_url(tracking_uri)
    if url.get_backend_name() != "sqlite" or not url.database or Path(url.database).exists():
        return
    from mlflow import MlflowClient

    store = Path(url.database).resolve()
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f".{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if store.exists():
            return
        workshop = store.with_name(f".{store.name}.unfinished")
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir()
        # MLflow remembers every address it has opened, so each attempt needs a new one.
        unfinished = workshop / f"{uuid.uuid4().hex}.db"
        with _unsynced(unfinished):
            MlflowClient(url.set(database=str(unfinished)).render_as_string(hide_password=False))
        with unfinished.open("rb") as handle:
            os.fsync(handle.fileno())
        unfinished.rename(store)
        shutil.rmtree(workshop)


@contextmanager
def _unsynced(database: Path) -> Iterator[None]:
    """Let SQLite write ``database`` without waiting for the disk: 40 % less CPU time, a fifth of the wait."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def configure(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            files = [row[2] for row in connection.execute("PRAGMA database_list")]
            if str(database) in files:
                connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", configure)
    try:
        yield
    finally:
        event.remove(Engine, "connect", configure)


def _close_abandoned_runs(client: MlflowClient, experiment_id: str, asset: str, instance: dg.DagsterInstance) -> None:
    """Set runs of the asset to KILLED that say RUNNING although nobody runs them."""
    running = f"tags.asset_key = '{asset}' AND attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], filter_string=running):
        if _is_abandoned(run, instance):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_abandoned(run: Run, instance: dg.DagsterInstance) -> bool:
    """Whether the run's Dagster run is over, or its process (if it was on this machine) is gone.

    A run that neither can tell anything about is left alone: it may be alive elsewhere.
    """
    dagster_run = instance.get_run_by_id(run.data.tags["dagster_run_id"])
    return (dagster_run is not None and dagster_run.is_finished) or is_gone(run.data.tags)


def _registered(client: MlflowClient, model_version: str) -> ModelVersion | None:
    """The newest registration of a version: an earlier one was found damaged."""
    versions = client.search_model_versions(f"tag.{_MODEL_VERSION} = '{model_version}'")
    return max(versions, key=lambda version: int(version.version), default=None)


@contextmanager
def _artifacts_of(version: ModelVersion, tracking_uri: str) -> Iterator[Path]:
    """A private copy of a version's files: what is verified is what is read. Empty if they are gone."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "model")
        copy.mkdir()
        source = urlparse(version.source)
        if source.scheme != "file":
            yield Path(download_artifacts(artifact_uri=version.source, dst_path=str(copy), tracking_uri=tracking_uri))
            return
        folder = Path(url2pathname(source.path))
        if folder.is_dir():
            shutil.copytree(folder, copy, dirs_exist_ok=True)
        yield copy


def _write_model(estimator: BaseEstimator, folder: Path) -> None:
    """Write an estimator as an MLflow model with the sklearn flavor, in skops format.

    ``mlflow.sklearn.save_model`` writes the same, but first looks through every file of every installed
    package to warn of requirements that we have pinned to what is installed: 1.2 CPU seconds.
    """
    import importlib.metadata

    import skops.io
    from mlflow.models import Model

    content = skops.io.dumps(estimator)
    untrusted = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES))
    if untrusted:
        raise UntrustedModelError(
            f"{type(estimator).__name__} holds types that skops does not trust: {', '.join(untrusted)}. "
            "Review them and add them to TRUSTED_TYPES in resources/mlflow.py, or it could not be loaded again."
        )
    (folder / _MODEL_FILE).write_bytes(content)
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in _PINNED]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    description = Model()
    description.add_flavor(
        "sklearn",
        pickled_model=_MODEL_FILE,
        sklearn_version=importlib.metadata.version("scikit-learn"),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        code=None,
    )
    description.save(str(folder / "MLmodel"))


def _read_estimator(file: Path, where: str) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(file.read_bytes(), trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise UntrustedModelError(
            f"{where} holds types that are not trusted, and was not loaded: {error}. Review them, then "
            "add them to TRUSTED_TYPES in resources/mlflow.py."
        ) from error
    except zipfile.BadZipFile as error:
        raise UntrustedModelError(
            f"{where} is not in skops format, and was not loaded: pickle and its kin can run code. Materialise "
            "models/return_forecaster to register it again."
        ) from error


def _manifest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _differences(version: ModelVersion, folder: Path) -> list[str]:
    """What distinguishes a folder from the version's manifest, file by file."""
    if _MANIFEST not in version.tags:
        return [f"it was registered without the tag {_MANIFEST}"]
    registered = json.loads(version.tags[_MANIFEST])
    found = _manifest(folder)
    return [
        f"{name} {'was added' if name not in registered else 'is missing' if name not in found else 'was changed'}"
        for name in sorted(registered.keys() | found.keys())
        if registered.get(name) != found.get(name)
    ]
