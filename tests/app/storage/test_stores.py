"""Both places of files: one is there whole or not at all, and read as it was written."""

from pathlib import Path

import pytest

from app.settings import Settings
from app.storage import Store, read, store_at, write
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
    with pytest.raises(LookupError), store.writing("a") as file:
        file.write(b"half")
        raise LookupError
    with pytest.raises(LookupError), store.writing("new") as file:
        raise LookupError
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
