"""What a backup holds of a folder, and what a restore refuses. Whole desks are in ``integration``."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bentleybot_assets.backup import BackupError, back_up, restore_from
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.resources.processes import alone
from bentleybot_assets.resources.restoring import WORKSHOP, UnfinishedRestoreError
from bentleybot_assets.settings import Settings
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels

Change = Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None]


@pytest.fixture(autouse=True)
def at_work_in_a_folder(tmp_path: Path, monkeypatch) -> None:
    """A working folder without a dagster.yaml, so that the history is in the home."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def writer(home: Path) -> Iterator[sqlite3.Connection]:
    """Fills the home; a connection that has written to the ledger, and keeps its journal."""
    warehouse = ParquetWarehouse(home / "warehouse")
    warehouse.publish(Labels, labels(MONDAY))
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    for name in ("raw/market/000001/state.json", "quarantine/note.json"):
        (home / "warehouse" / name).parent.mkdir(parents=True)
        (home / "warehouse" / name).write_text("{}")
    (home / "reports" / "daily_brief").mkdir(parents=True)
    (home / "reports" / "daily_brief" / "2022-12-28.html").write_text("<p>brief</p>")
    (home / "mlflow" / "models").mkdir(parents=True)
    (home / "mlflow" / "models" / "model.skops").write_bytes(bytes(range(256)))
    (home / "alerts.jsonl").write_text("{}\n")
    (home / "alerts-again.jsonl").hardlink_to(home / "alerts.jsonl")
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (order_id TEXT)")
        connection.execute("INSERT INTO orders VALUES ('first')")
        connection.commit()
        yield connection


@pytest.fixture
def archive(home: Path, writer: sqlite3.Connection, tmp_path: Path) -> Path:
    """A backup of the home, which is moved away."""
    file = tmp_path / "desk.tar.gz"
    back_up(Settings.load(), file, before_waiting=pytest.fail)
    home.rename(home.with_name("original"))
    return file


def files(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def rewritten(file: Path, change: Change) -> Path:
    """The archive with other content."""
    with tarfile.open(file) as archive:
        members = {info.name: (info, archive.extractfile(info).read() if info.isreg() else b"") for info in archive}
    change(members)
    changed = file.with_name("changed.tar.gz")
    with tarfile.open(changed, "w:gz") as archive:
        for info, content in members.values():
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return changed


def with_manifest(file: Path, **values: object) -> Path:
    def change(members) -> None:
        info, content = members["manifest.json"]
        members["manifest.json"] = info, json.dumps({**json.loads(content), **values}).encode()

    return rewritten(file, change)


def require_refused(file: Path, home: Path, *words: str) -> None:
    with pytest.raises(BackupError) as refused:
        restore_from(Settings.load(), file)
    for word in words:
        assert word in str(refused.value)
    assert not home.exists()


def test_a_home_comes_back_without_locks_journals_and_replaced_versions(home: Path, archive: Path) -> None:
    original = files(home.with_name("original"))
    restore_from(Settings.load(), archive)
    restored = files(home)
    del restored[".run.lock"]  # the restore's own
    assert not [name for name in restored if ".lock" in name or "-wal" in name or "-shm" in name]
    assert len([name for name in original if ".versions" in name]) > len([n for n in restored if ".versions" in n])
    assert ParquetWarehouse(home / "warehouse").read(Labels).equals(labels(MONDAY, TUESDAY))
    for name, value in restored.items():
        if name != "ledger.db":
            assert original[name] == value, name
    assert {"alerts.jsonl", "alerts-again.jsonl", "mlflow/models/model.skops", "ledger.db"} <= restored.keys()
    assert {"warehouse/raw/market/000001/state.json", "reports/daily_brief/2022-12-28.html"} <= restored.keys()
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        # It was still in the journal of a connection at work.
        assert ledger.execute("SELECT * FROM orders").fetchall() == [("first",)]


def test_an_empty_folder_is_filled_and_stays_the_same_folder(home: Path, archive: Path) -> None:
    """As it must where it is a volume: nothing can be renamed onto a mount point, and new ones have an entry."""
    (home / "lost+found").mkdir(parents=True)
    before = home.stat()
    restore_from(Settings.load(), archive)
    assert (home / "alerts.jsonl").exists()
    assert (home.stat().st_ino, home.stat().st_mode) == (before.st_ino, before.st_mode)
    back_up(Settings.load(), archive.with_name("again.tar.gz"), before_waiting=pytest.fail)


def test_only_its_owner_may_read_an_archive(archive: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_not_empty_is_left_alone(home: Path, archive: Path) -> None:
    home.mkdir()
    (home / "precious.txt").write_text("mine")
    with pytest.raises(BackupError, match=r"home is not empty: it has precious.txt.*move the folder away"):
        restore_from(Settings.load(), archive)
    assert files(home) == {"precious.txt": b"mine"}


def test_every_changed_member_is_found_and_nothing_restored(home: Path, archive: Path) -> None:
    with tarfile.open(archive) as opened:
        names = [info.name for info in opened if info.isreg() and info.name != "manifest.json"]
    assert len(names) == 8
    for name in names:

        def change(members, name: str = name) -> None:
            info, content = members[name]
            members[name] = info, (bytes([content[0] ^ 1]) + content[1:])

        require_refused(rewritten(archive, change), home, "changed.tar.gz is damaged", f"{name} was changed", "another")


def test_a_moved_link_is_found(home: Path, archive: Path) -> None:
    def change(members) -> None:
        members["home/warehouse/models/labels"][0].linkname = "../raw"

    require_refused(rewritten(archive, change), home, "home/warehouse/models/labels was changed")


def test_a_member_that_is_missing_or_added_is_found(home: Path, archive: Path) -> None:
    require_refused(
        rewritten(archive, lambda members: members.pop("home/ledger.db")), home, "home/ledger.db is missing"
    )
    require_refused(rewritten(archive, lambda members: members.pop("manifest.json")), home, "it has no manifest.json")

    def add(members) -> None:
        members["home/new"] = tarfile.TarInfo("home/new"), b"new"

    require_refused(rewritten(archive, add), home, "home/new was added")


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.999])
def test_an_archive_that_was_cut_short_is_found(home: Path, archive: Path, kept: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: kept if kept >= 1 else int(len(content) * kept)])
    require_refused(archive, home, "desk.tar.gz is damaged or no backup", "use another copy")


def test_a_file_of_another_kind_is_no_backup(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar.gz"
    other.write_text("not an archive")
    require_refused(other, home, "other.tar.gz is damaged or no backup")
    require_refused(tmp_path / "nothing.tar.gz", home, "There is no file", "nothing.tar.gz")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        pytest.param([tarfile.TarInfo("../evil")], "evil", id="above"),
        pytest.param([tarfile.TarInfo("home/../../evil")], "evil", id="above, from inside"),
        pytest.param([tarfile.TarInfo("/evil")], "evil", id="absolute"),
        pytest.param([link("home/out", "../../evil")], "home/out", id="link above"),
        pytest.param([link("home/out", "/etc")], "home/out", id="absolute link"),
        pytest.param([link("out", "home"), tarfile.TarInfo("out/evil")], "out", id="link outside of home"),
        pytest.param([link("home/in", "reports"), tarfile.TarInfo("home/in/evil")], "home/in/evil lies", id="behind"),
        pytest.param([link("home/hard", "home/alerts.jsonl", tarfile.LNKTYPE)], "home/hard", id="hard link"),
        pytest.param([link("home/pipe", "", tarfile.FIFOTYPE)], "home/pipe", id="pipe"),
        pytest.param([tarfile.TarInfo("home/alerts.jsonl")], "twice", id="twice"),
    ],
)
def test_a_member_that_leads_elsewhere_is_refused(home: Path, archive: Path, planted, word: str) -> None:
    """Even if the manifest lists it, as whoever plants one would see to."""
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    def change(members) -> None:
        info, content = members["manifest.json"]
        manifest = json.loads(content)
        for number, member in enumerate(planted):
            listed = {"link": member.linkname} if member.issym() else {"sha256": nothing}
            manifest["members"].setdefault(member.name, listed)
            members[f"planted {number}"] = member, b""
        members["manifest.json"] = info, json.dumps(manifest).encode()

    before = set(home.parent.iterdir()) | {home.parent / "changed.tar.gz"}
    require_refused(rewritten(archive, change), home, word)
    assert set(home.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"profile": "production"}, ("is of profile production", "desk's is embedded", "Set `profile`")),
        ({"data_mode": "yahoo"}, ("holds yahoo data", "desk's mode is sample", "connections.market.config.mode")),
        ({"format": 2}, ("has format 2", "reads format 1")),
    ],
)
def test_an_archive_of_another_kind_of_desk_is_refused(home: Path, archive: Path, values, words) -> None:
    require_refused(with_manifest(archive, **values), home, *words)


def test_what_appears_during_a_restore_is_not_overwritten(home: Path, archive: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: (home / "ledger.db").write_text("mine"))
    with pytest.raises(BackupError, match=r"ledger.db appeared during the restore. End what writes there"):
        restore_from(Settings.load(), archive)
    assert {path.name for path in home.iterdir()} == {".run.lock", "ledger.db"}
    assert (home / "ledger.db").read_text() == "mine"


def test_a_home_that_is_in_use_is_left_alone(home: Path, archive: Path) -> None:
    with (
        alone(home / ".run.lock", "session 2022-12-28", before_waiting=pytest.fail),
        pytest.raises(BackupError, match=r"home is in use .*session 2022-12-28"),
    ):
        restore_from(Settings.load(), archive)
    assert [path.name for path in home.iterdir()] == [".run.lock"]


def test_a_home_that_is_not_whole_is_not_backed_up(home: Path, writer, tmp_path: Path) -> None:
    (home / WORKSHOP).mkdir()
    with pytest.raises(UnfinishedRestoreError, match="run `bentleybot restore` again"):
        back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=pytest.fail)
    assert not list(tmp_path.glob("*desk*"))


def test_a_backup_waits_for_the_run_that_is_at_work(home: Path, writer, tmp_path: Path) -> None:
    class Waited(Exception):  # noqa: N818 - it is none
        pass

    def wait(holder: str) -> None:
        raise Waited(holder)

    with alone(home / ".run.lock", "session 2022-12-28", before_waiting=pytest.fail), pytest.raises(Waited) as waited:
        back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=wait)
    assert "session 2022-12-28" in str(waited.value)
    assert not list(tmp_path.glob("*desk*"))


def test_a_backup_overwrites_nothing_and_goes_outside(home: Path, writer, tmp_path: Path) -> None:
    existing = tmp_path / "there.tar.gz"
    existing.write_text("mine")
    for file, words in {
        existing: "exists, and a backup overwrites nothing",
        home / "desk.tar.gz": "is inside",
        tmp_path / "desk.zip": "ends in .tar.gz",
        tmp_path / "nowhere" / "desk.tar.gz": "is not a folder",
    }.items():
        with pytest.raises(BackupError, match=words):
            back_up(Settings.load(), file, before_waiting=pytest.fail)
    assert existing.read_text() == "mine"


def test_there_must_be_something_to_back_up(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="holds nothing to back up"):
        back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=pytest.fail)
    assert not home.exists()


def test_a_database_that_is_damaged_is_named(home: Path, writer, tmp_path: Path) -> None:
    (home / "mlflow.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 500)
    with pytest.raises(BackupError, match=r"mlflow.db cannot be copied: .*restore an earlier backup"):
        back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=pytest.fail)
    assert not list(tmp_path.glob("*desk*"))


def test_a_link_out_of_the_home_is_named(home: Path, writer, tmp_path: Path) -> None:
    shutil.move(home / "reports", tmp_path / "reports")
    (home / "reports").symlink_to(tmp_path / "reports")
    with pytest.raises(BackupError, match="reports is a link to"):
        back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=pytest.fail)


def test_what_is_kept_elsewhere_is_said_without_its_password(home: Path, writer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://desk:s3cret@db/mlflow")
    Path("dagster.yaml").write_text("storage:\n  sqlite:\n    base_dir: .bentleybot/dagster\n")
    outcome = back_up(Settings.load(), tmp_path / "desk.tar.gz", before_waiting=pytest.fail)
    mlflow, dagster = outcome.left_out
    assert "MLFLOW_TRACKING_URI" in mlflow
    assert "s3cret" not in mlflow
    assert f"{Path.cwd()}/.bentleybot/dagster" in dagster


@pytest.fixture
def production(monkeypatch) -> None:
    """Settings of a server that nobody is to ask."""
    for name, value in {
        "BENTLEYBOT_PROFILE": "production",
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_PORT": "1",
        "MYSQL_USER": "desk",
        "MYSQL_PASSWORD": "s3cret",
        "MYSQL_DATABASE": "desk",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_missing_program_is_named_with_its_package(home: Path, archive: Path, production, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    words = "Install the package mariadb-client"
    with pytest.raises(BackupError, match=f"Neither mariadb-dump nor mysqldump .*{words}"):
        back_up(Settings.load(), archive.with_name("new.tar.gz"), before_waiting=pytest.fail)
    shutil.rmtree(home)
    require_refused(with_manifest(archive, profile="production"), home, "Neither mariadb nor mysql", words)


@pytest.mark.skipif(shutil.which("mariadb-dump") is None, reason="needs the package mariadb-client")
def test_a_server_that_is_away_is_named(archive: Path, production) -> None:
    with pytest.raises(BackupError, match=r"desk@127.0.0.1:1/.*Check that the server runs") as refused:
        back_up(Settings.load(), archive.with_name("new.tar.gz"), before_waiting=pytest.fail)
    assert "s3cret" not in str(refused.value)
