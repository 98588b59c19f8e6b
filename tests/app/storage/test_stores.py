"""Both places of files: one is there whole or not at all, and read as it was written."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from app.settings import Settings, private_files
from app.storage import Store, checksum, folder, read, store_at, write
from app.storage.folder import FolderStore
from tests.factories.buckets import SECRET, bucket, new_bucket


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, s3: str, base_settings: Settings
) -> Store:
    if request.param == "folder":
        return store_at(base_settings, str(tmp_path / "store"))
    name = new_bucket(s3)
    return store_at(base_settings.model_copy(update=bucket(s3, name)), f"s3://{name}/notes")


def test_what_is_written_is_read_listed_and_removed(store: Store) -> None:
    assert store.names() == []
    contents = {"b/2.json": b"two", "a.json": b"", "b/1.json": b"\0" * 20_000_000}
    for name, content in contents.items():
        write(store, name, content)
    assert store.names() == ["a.json", "b/1.json", "b/2.json"]
    assert {name: read(store, name) for name in contents} == contents
    write(store, "b/2.json", b"another")
    assert read(store, "b/2.json") == b"another"
    for _ in range(2):
        store.remove("b/1.json")
    assert store.names() == ["a.json", "b/2.json"]


def test_what_is_not_there_is_told(store: Store) -> None:
    write(store, "a", b"x")
    with pytest.raises(FileNotFoundError):
        read(store, "b")


def test_a_writing_that_fails_leaves_what_was_there(store: Store) -> None:
    write(store, "a", b"before")
    for name in ("a", "new"):
        half = store.begin(name)
        half.file.write(b"half")
        half.abandon()
    assert (store.names(), read(store, "a")) == (["a"], b"before")


def test_a_bucket_that_is_not_there_is_an_error_without_the_secret(
    s3: str, base_settings: Settings
) -> None:
    settings = base_settings.model_copy(update=bucket(s3, "nobody-made-this"))
    store = store_at(settings, "s3://nobody-made-this/x")
    for ask in (lambda: write(store, "a", b"x"), store.names):
        with pytest.raises(OSError) as told:  # each library's own
            ask()
        assert SECRET not in str(told.value)


def test_what_is_kept_stays_when_it_is_abandoned_after_it(store: Store) -> None:
    half = store.begin("1.json")
    half.file.write(b"whole")
    half.keep()
    half.abandon()
    assert read(store, "1.json") == b"whole"


def test_only_what_is_old_and_only_halves_are_swept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    write(store, "a/1.json", b"")
    (tmp_path / "a" / ".hidden").write_bytes(b"somebody else's")
    for name in ("a/old", "a/young", "b/old"):
        store.begin(name)
    halves = {
        path.name[1:].split(".")[0] + path.parent.name: path for path in tmp_path.rglob(".*.*")
    }
    for name in ("olda", "oldb"):
        os.utime(halves[name], (0, 0))
    store.sweep("a", timedelta(days=1))
    assert [name for name, path in sorted(halves.items()) if path.exists()] == ["oldb", "younga"]
    store.sweep()
    assert store.names() == ["a/.hidden", "a/1.json"]
    assert len(list(tmp_path.rglob(".*"))) == 1


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    write(FolderStore(tmp_path / "new" / "deep"), "notes/1.json", b"")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*")}
    assert modes == {0o700, 0o600}


def test_new_folders_are_on_the_disk_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def sync(path: Path) -> None:
        synced.append(path)
        private_files.sync_folder(path)

    monkeypatch.setattr(folder, "sync_folder", sync)
    write(FolderStore(tmp_path / "ledger"), "db/notes/1.json", b"")
    ledger = tmp_path / "ledger"
    assert synced == [tmp_path, ledger, ledger / "db", ledger / "db" / "notes"]


def test_a_checksum_is_of_the_whole_file(store: Store) -> None:
    content = b"\0\1" * 3_000_000
    write(store, "large", content)
    with store.reading("large") as file:
        assert checksum(file) == hashlib.sha256(content).hexdigest()
