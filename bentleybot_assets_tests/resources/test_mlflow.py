from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import mlflow as mlflow_package
import mlflow.sklearn
import numpy as np
import polars as pl
import psutil
import pytest
import skops.io
from mlflow import MlflowClient
from sklearn.linear_model import Ridge

from bentleybot_assets.core.walk_forward import fit, forecast
from bentleybot_assets.resources.mlflow import CHAMPION, Mlflow, TrackingServerError, UntrustedModelError, _manifest

KEY = dg.AssetKey(["models", "return_forecaster"])
VERSION = "0123456789abcdef"
FEATURES = ("return_1d", "return_5d")


class HomeMadeRidge(Ridge):
    """A type that nobody has reviewed."""


class Malice:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's schema takes a second to create, so the tests copy one."""
    folder = tmp_path_factory.mktemp("mlflow")
    Mlflow(tracking_uri=f"sqlite:///{folder}/mlflow.db", artifact_root=str(folder))._client()
    return folder / "mlflow.db"


@pytest.fixture
def resource(tmp_path: Path, empty_store: Path) -> Mlflow:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return Mlflow(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", artifact_root=str(tmp_path / "files"))


@pytest.fixture
def client(resource: Mlflow) -> MlflowClient:
    return resource._client()


@pytest.fixture(scope="module")
def model() -> Ridge:
    values = np.random.default_rng(0).normal(size=(600, 3))
    return fit(pl.DataFrame(values, schema=[*FEATURES, "forward_rank"]), FEATURES)


def a_context(instance: dg.DagsterInstance | None = None) -> Any:
    """What an asset's context tells the resource."""
    return SimpleNamespace(
        asset_key=KEY,
        run=SimpleNamespace(run_id=str(uuid.uuid4())),
        instance=instance or dg.DagsterInstance.ephemeral(),
    )


def runs(client: MlflowClient) -> list[Any]:
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


def statuses(client: MlflowClient) -> list[str]:
    return sorted(run.info.status for run in runs(client))


def registered(resource: Mlflow, model: Ridge, version: str = VERSION) -> Path:
    """Register ``model`` and give the folder of its files."""
    with resource.training_run(a_context()) as run:
        run.register(version, model)
    return folder_of(resource, version)


def folder_of(resource: Mlflow, version: str = VERSION) -> Path:
    found = resource._client().search_model_versions(f"tag.model_version = '{version}'")
    return Path(max(found, key=lambda v: int(v.version)).source.removeprefix("file://"))


def register_by_hand(client: MlflowClient, folder: Path, content: bytes, **others: str) -> None:
    """Register files of one's choice the way the resource does, hashes included."""
    folder.mkdir()
    (folder / "model.skops").write_bytes(content)
    for name, text in others.items():
        (folder / name).write_text(text)
    client.create_registered_model("return_forecaster")
    tags = {"model_version": VERSION, "sha256_manifest": json.dumps(_manifest(folder))}
    client.create_model_version("return_forecaster", source=folder.as_uri(), tags=tags)


def python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# --- one run per training asset ---


def materialise(resource: Mlflow, body: Callable[[Any], None]) -> dg.ExecuteInProcessResult:
    asset = dg.asset(key=KEY, required_resource_keys={"mlflow"})(body)
    return dg.materialize([asset], resources={"mlflow": resource}, raise_on_error=False)


def test_an_asset_that_succeeds_has_one_finished_run_that_says_who_made_it(resource: Mlflow, client: MlflowClient):
    def body(context) -> None:
        with context.resources.mlflow.training_run(context) as run:
            run.log_params({"alpha": 100.0})
            assert statuses(client) == ["RUNNING"]

    result = materialise(resource, body)
    assert result.success
    [run] = runs(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "models/return_forecaster"
    assert run.data.params == {"alpha": "100.0"}
    own = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
    started = own.pop("process_started")
    assert own == {
        "dagster_run_id": result.run_id,
        "asset_key": "models/return_forecaster",
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
    }
    assert started not in ("", "None")


def test_an_asset_that_fails_has_one_failed_run(resource: Mlflow, client: MlflowClient):
    def body(context) -> None:
        with context.resources.mlflow.training_run(context):
            raise ValueError("the matrix is singular")

    assert not materialise(resource, body).success
    assert statuses(client) == ["FAILED"]


def generator(resource: Mlflow) -> Iterator[str]:
    """A table asset's body: it yields its frame inside the run."""
    with resource.training_run(a_context()):
        yield "frame"


def test_a_run_ends_as_the_publication_of_its_frame_did(resource: Mlflow, client: MlflowClient):
    published, refused, abandoned = (generator(resource) for _ in range(3))
    next(published)
    assert list(published) == []
    assert statuses(client) == ["FINISHED"]
    next(refused)
    with pytest.raises(dg.Failure):
        refused.throw(dg.Failure("the frame breaks its contract"))
    assert statuses(client) == ["FAILED", "FINISHED"]
    next(abandoned)
    abandoned.close()
    assert statuses(client) == ["FAILED", "FAILED", "FINISHED"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupted_run_is_killed(resource: Mlflow, client: MlflowClient, interruption: type[BaseException]):
    with pytest.raises(interruption), resource.training_run(a_context()):
        raise interruption
    assert statuses(client) == ["KILLED"]


def test_ten_assets_have_ten_runs(resource: Mlflow, client: MlflowClient):
    for trial in range(10):
        with pytest.raises(ZeroDivisionError) if trial % 2 else does_not_raise(), resource.training_run(a_context()):
            1 / (trial % 2 - 1)
    assert statuses(client) == ["FAILED"] * 5 + ["FINISHED"] * 5


@contextmanager
def does_not_raise() -> Iterator[None]:
    yield


def test_parameters_and_metrics_are_recorded(resource: Mlflow, client: MlflowClient):
    many = {f"parameter_{i}": i for i in range(250)}
    with resource.training_run(a_context()) as run:
        run.log_params(many)
        run.log_metrics({"rank_ic": 0.02, "unknown": None})
    [recorded] = runs(client)
    assert recorded.data.params == {name: str(value) for name, value in many.items()}
    assert recorded.data.metrics == {"rank_ic": 0.02}


def test_nothing_is_left_in_the_state_that_mlflow_shares_between_its_users(resource: Mlflow, model: Ridge):
    before = mlflow_package.get_tracking_uri()
    with resource.training_run(a_context()) as run:
        run.register(VERSION, model)
        assert mlflow_package.active_run() is None
    resource.load(VERSION)
    assert mlflow_package.get_tracking_uri() == before
    assert {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"}.isdisjoint(os.environ)


# --- runs that a process left behind ---


OPEN_A_RUN = """
    import os, signal, sys
    from types import SimpleNamespace
    import dagster as dg
    from bentleybot_assets.resources.mlflow import Mlflow

    uri, files, run_id = sys.argv[1:]
    context = SimpleNamespace(
        asset_key=dg.AssetKey(["models", "return_forecaster"]),
        run=SimpleNamespace(run_id=run_id),
        instance=dg.DagsterInstance.ephemeral(),
    )
    with Mlflow(tracking_uri=uri, artifact_root=files).training_run(context):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_whose_process_was_killed_is_closed_by_the_next(resource: Mlflow, client: MlflowClient):
    ended = python(OPEN_A_RUN, resource.tracking_uri, resource.artifact_root, "killed")
    assert ended.returncode == -signal.SIGKILL
    assert statuses(client) == ["RUNNING"]
    with resource.training_run(a_context()):
        assert statuses(client) == ["KILLED", "RUNNING"]
    assert statuses(client) == ["FINISHED", "KILLED"]
    assert {run.info.status: run.data.tags["dagster_run_id"] for run in runs(client)}["KILLED"] == "killed"


def left_running(resource: Mlflow, client: MlflowClient, **tags: str) -> str:
    """A run that says RUNNING, with tags as this process would have written them, some changed."""
    with resource.training_run(a_context()) as run:
        own = client.get_run(run.mlflow_run_id).data.tags
    changed = {name: value for name, value in own.items() if not name.startswith("mlflow.")} | tags
    return client.create_run(run.experiment_id, tags=changed).info.run_id


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ({}, "RUNNING"),  # this very process
        ({"process_started": "an earlier process with the same id"}, "KILLED"),
        ({"host": "elsewhere", "pid": "1", "process_started": "unknown"}, "RUNNING"),
        ({"asset_key": "models/another", "process_started": "an earlier one"}, "RUNNING"),
    ],
)
def test_only_runs_of_the_same_asset_by_a_process_known_to_be_gone_are_closed(
    resource: Mlflow, client: MlflowClient, tags: dict[str, str], status: str
):
    stale = left_running(resource, client, **tags)
    with resource.training_run(a_context()):
        assert client.get_run(stale).info.status == status


def test_a_process_that_ended_but_was_not_reaped_is_gone(resource: Mlflow, client: MlflowClient):
    child = subprocess.Popen([sys.executable, "-c", ""])
    psutil.wait_procs([psutil.Process(child.pid)], timeout=0)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    stale = left_running(resource, client, pid=str(child.pid))
    with resource.training_run(a_context()):
        assert client.get_run(stale).info.status == "KILLED"
    child.wait()


@pytest.mark.parametrize(
    ("dagster_status", "status"),
    [(dg.DagsterRunStatus.FAILURE, "KILLED"), (dg.DagsterRunStatus.STARTED, "RUNNING")],
)
def test_a_run_on_another_machine_is_closed_when_its_dagster_run_is_over(
    resource: Mlflow, client: MlflowClient, dagster_status: dg.DagsterRunStatus, status: str
):
    instance = dg.DagsterInstance.ephemeral()
    run_id = str(uuid.uuid4())
    instance.add_run(dg.DagsterRun(job_name="job", run_id=run_id, status=dagster_status))
    stale = left_running(resource, client, host="elsewhere", dagster_run_id=run_id)
    with resource.training_run(a_context(instance)):
        assert client.get_run(stale).info.status == status


# --- the store ---


def test_a_process_killed_while_it_creates_the_store_leaves_one_that_can_be_used(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/state/mlflow.db"
    killed_half_way = """
        import os, signal, sys
        import alembic.op
        from bentleybot_assets.resources.mlflow import Mlflow

        create_table, calls = alembic.op.create_table, []

        def die_at_the_third_table(*arguments, **options):
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return create_table(*arguments, **options)

        alembic.op.create_table = die_at_the_third_table
        Mlflow(tracking_uri=sys.argv[1], artifact_root="files")._client()
    """
    assert python(killed_half_way, uri).returncode == -signal.SIGKILL
    assert list((tmp_path / "state").rglob("*.db"))
    assert not (tmp_path / "state" / "mlflow.db").exists()
    resource = Mlflow(tracking_uri=uri, artifact_root=str(tmp_path / "files"))
    with resource.training_run(a_context()):
        pass
    assert statuses(resource._client()) == ["FINISHED"]
    assert [file.name for file in (tmp_path / "state").rglob("*.db")] == ["mlflow.db"]


def test_two_processes_that_begin_together_share_one_quiet_store(tmp_path: Path):
    code = textwrap.dedent(OPEN_A_RUN).replace(
        "os.kill(os.getpid(), signal.SIGKILL)",
        "import mlflow.telemetry; assert mlflow.telemetry.get_telemetry_client() is None",
    )
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    # Without the variables of pytest and CI, which would switch telemetry off as well.
    clean = {name: value for name, value in os.environ.items() if not re.match("PYTEST|MLFLOW|CI$|GITHUB", name)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, uri, str(tmp_path / "files"), str(trial)],
            cwd=tmp_path,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for trial in range(2)
    ]
    # Nothing is printed: no migration log, no beta warning, no telemetry notice.
    assert [(process.communicate()[0], process.returncode) for process in processes] == [("", 0)] * 2
    assert statuses(MlflowClient(uri)) == ["FINISHED"] * 2
    assert not (tmp_path / "mlruns").exists()


def test_files_that_were_moved_away_from_their_database_are_an_error_that_says_so(resource: Mlflow, tmp_path: Path):
    with resource.training_run(a_context()):
        pass
    moved = Mlflow(tracking_uri=resource.tracking_uri, artifact_root=str(tmp_path / "moved"))
    with (
        pytest.raises(ValueError, match=r"keeps its files in file://.*/files, not in file://.*/moved"),
        moved.training_run(a_context()),
    ):
        pass


# --- a tracking server ---


def test_a_server_whose_models_are_on_another_machine_is_an_error_that_says_so(resource: Mlflow, client: MlflowClient):
    resource._experiment_id(client)
    served = Mlflow(tracking_uri="http://127.0.0.1:5000", artifact_root="")
    assert served._experiment_id(client) == resource._experiment_id(client)
    Path(resource.artifact_root).rename(Path(resource.artifact_root).with_name("elsewhere"))
    with pytest.raises(ValueError, match=r"keeps its files in file://.*/files, which this machine does not have"):
        served._experiment_id(client)


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server_that_answers(status: int, body: bytes) -> Iterator[tuple[Mlflow, list[str]]]:
    """A resource whose server always gives the same answer, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Mlflow(tracking_uri=f"http://127.0.0.1:{server.server_port}", artifact_root=""), asked
        server.shutdown()


def test_a_server_that_is_down_is_an_error_that_says_how_to_go_on(closed_port: int):
    resource = Mlflow(tracking_uri=f"http://desk:hunter2@127.0.0.1:{closed_port}", artifact_root="")
    said = (
        rf"The MLflow server at http://desk:\*\*\*@127\.0\.0\.1:{closed_port} \(MLFLOW_TRACKING_URI\) does not answer: "
        r".*Connection refused\. Start it, mend the address, or unset MLFLOW_TRACKING_URI"
    )
    assert re.match(said, resource.check())
    with pytest.raises(TrackingServerError, match=said), resource.training_run(a_context()):
        pass
    with pytest.raises(TrackingServerError, match=said):
        resource.load(VERSION)


def test_a_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bentleybot_assets.resources.mlflow._PROBE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        resource = Mlflow(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", artifact_root="")
        assert "does not answer: timed out" in resource.check()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"{}", None),
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}', None),
        (401, b"", r"refuses the login \(HTTP 401\)\. Export MLFLOW_TRACKING_USERNAME"),
        (404, b"<html>", "answers HTTP 404, as no working MLflow server does"),
        (503, b"", "answers HTTP 503"),
    ],
)
def test_a_server_is_asked_once_and_its_answer_judged(status: int, body: bytes, problem: str | None):
    with server_that_answers(status, body) as (resource, asked):
        found = resource.check()
    assert asked == ["/api/2.0/mlflow/experiments/get-by-name?experiment_name=bentleybot"]
    assert found is None if problem is None else re.search(problem, found)


def test_a_file_is_not_asked_anything(tmp_path: Path):
    resource = Mlflow(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", artifact_root=str(tmp_path))
    assert resource.check() is None
    assert list(tmp_path.iterdir()) == []


# --- the registry ---


def test_a_registered_model_forecasts_after_loading_as_before(resource: Mlflow, model: Ridge):
    registered(resource, model)
    members = pl.DataFrame({"symbol": ["A", "B"], "session": [1, 1], "return_1d": [0.1, -0.5], "return_5d": [0.3, 0.2]})
    loaded = resource.load(VERSION)
    assert forecast(loaded, members).equals(forecast(model, members))


def test_mlflow_itself_reads_a_registered_model(resource: Mlflow, model: Ridge, monkeypatch: pytest.MonkeyPatch):
    folder = registered(resource, model)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    assert mlflow.sklearn.load_model(str(folder)).coef_.tolist() == model.coef_.tolist()


def test_a_registered_version_names_the_run_that_made_it(resource: Mlflow, client: MlflowClient, model: Ridge):
    registered(resource, model)
    [version] = client.search_model_versions("name = 'return_forecaster'")
    [run] = runs(client)
    assert version.run_id == run.info.run_id
    [output] = run.outputs.model_outputs
    assert f"/{output.model_id}/" in version.source


def test_a_version_is_registered_once(resource: Mlflow, client: MlflowClient, model: Ridge):
    for _ in range(3):
        registered(resource, model)
    registered(resource, model, "fedcba9876543210")
    versions = client.search_model_versions("name = 'return_forecaster'")
    assert sorted(v.tags["model_version"] for v in versions) == [VERSION, "fedcba9876543210"]


def test_the_champion_alias_follows_the_version_that_decides(resource: Mlflow, client: MlflowClient, model: Ridge):
    with resource.training_run(a_context()) as run:
        run.promote("an unregistered baseline")  # before anything is registered
        for version in (VERSION, "fedcba9876543210"):
            number = run.register(version, model)
            run.promote(version)
            assert str(client.get_model_version_by_alias("return_forecaster", CHAMPION).version) == number
        run.promote("an unregistered baseline")
        assert client.get_registered_model("return_forecaster").aliases == {}
        run.promote("an unregistered baseline")


def test_an_unknown_version_is_an_error_that_says_where_it_was_looked_for(resource: Mlflow):
    with pytest.raises(LookupError) as error:
        resource.load(VERSION)
    assert str(error.value) == (
        f"Model version {VERSION} is not registered in {resource.tracking_uri}. "
        "Materialise models/return_forecaster to register it."
    )


def test_messages_hide_the_password_of_the_address(resource: Mlflow, client: MlflowClient, monkeypatch: Any):
    address = "http://desk:hunter2@127.0.0.1:5000"
    guarded = Mlflow(tracking_uri=address, artifact_root=resource.artifact_root)
    monkeypatch.setattr(Mlflow, "_client", lambda _: client)
    with pytest.raises(LookupError, match=r"not registered in http://desk:\*\*\*@127\.0\.0\.1:5000\. ") as error:
        guarded.load(VERSION)
    assert "hunter2" not in str(error.value)


def test_a_moved_folder_is_reported_without_the_password_of_the_database(
    resource: Mlflow, client: MlflowClient, tmp_path: Path
):
    resource._experiment_id(client)
    address = "mysql+pymysql://desk:hunter2@localhost/mlflow"
    guarded = Mlflow(tracking_uri=address, artifact_root=str(tmp_path / "moved"))
    with pytest.raises(ValueError, match=r"in mysql\+pymysql://desk:\*\*\*@localhost/mlflow keeps") as error:
        guarded._experiment_id(client)
    assert "hunter2" not in str(error.value)


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.skops").write_bytes(content)


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.skops", 100)


def remove_a_file(folder: Path) -> None:
    (folder / "MLmodel").unlink()


def add_code(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "evil.py").write_text("raise SystemExit")


@pytest.mark.parametrize(
    ("tamper", "difference"),
    [
        (flip_a_byte, "model.skops was changed"),
        (truncate, "model.skops was changed"),
        (remove_a_file, "MLmodel is missing"),
        (add_code, "code/evil.py was added"),
    ],
)
def test_a_tampered_model_is_refused_and_can_be_registered_anew(
    resource: Mlflow, model: Ridge, tamper: Any, difference: str
):
    tamper(registered(resource, model))
    with pytest.raises(UntrustedModelError, match=f"{VERSION} in file://.* is not what was registered: {difference}"):
        resource.load(VERSION)
    registered(resource, model)
    assert resource.load(VERSION).coef_.tolist() == model.coef_.tolist()


def test_a_model_whose_files_are_gone_is_registered_anew(resource: Mlflow, model: Ridge):
    shutil.rmtree(registered(resource, model))
    with pytest.raises(LookupError, match=r"its files are gone from .* Materialise models/return_forecaster"):
        resource.load(VERSION)
    registered(resource, model)
    assert resource.load(VERSION).coef_.tolist() == model.coef_.tolist()


def test_a_pickle_is_refused_without_being_opened(resource: Mlflow, client: MlflowClient, tmp_path: Path):
    mark = tmp_path / "was_here"
    register_by_hand(client, tmp_path / "evil", pickle.dumps(Malice(mark)))
    with pytest.raises(UntrustedModelError, match="is not in skops format"):
        resource.load(VERSION)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Malice(mark)))  # noqa: S301 - the mark does appear where a pickle is opened
    assert mark.exists()


def test_a_loader_named_by_the_model_is_ignored(resource: Mlflow, client: MlflowClient, model: Ridge, tmp_path: Path):
    loader = "flavors:\n  python_function: {loader_module: evil, code: .}\n  sklearn: {pickled_model: ../evil.pkl}\n"
    mark = tmp_path / "was_here"
    others = {"MLmodel": loader, "evil.py": f"import pathlib; pathlib.Path({str(mark)!r}).touch()"}
    register_by_hand(client, tmp_path / "evil", skops.io.dumps(model), **others)
    assert resource.load(VERSION).coef_.tolist() == model.coef_.tolist()
    assert not mark.exists()


def test_a_model_of_unreviewed_types_is_refused(resource: Mlflow, client: MlflowClient, model: Ridge, tmp_path: Path):
    home_made = HomeMadeRidge().fit([[0.0], [1.0]], [0.0, 1.0])
    with (
        resource.training_run(a_context()) as run,
        pytest.raises(UntrustedModelError, match=r"test_mlflow\.HomeMadeRidge"),
    ):
        run.register(VERSION, home_made)
    assert client.search_registered_models() == []
    register_by_hand(client, tmp_path / "evil", skops.io.dumps(home_made))
    with pytest.raises(UntrustedModelError, match="HomeMadeRidge"):
        resource.load(VERSION)


def test_a_model_that_was_registered_without_hashes_is_refused(
    resource: Mlflow, client: MlflowClient, model: Ridge, tmp_path: Path
):
    folder = tmp_path / "unknown"
    folder.mkdir()
    skops.io.dump(model, folder / "model.skops")
    client.create_registered_model("return_forecaster")
    client.create_model_version("return_forecaster", source=folder.as_uri(), tags={"model_version": VERSION})
    with pytest.raises(UntrustedModelError, match="registered without the tag sha256_manifest"):
        resource.load(VERSION)
