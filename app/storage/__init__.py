"""Where files are kept outside the database: a folder, or a bucket of a service that speaks S3 (by
obstore). All of it blocks."""

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from app.settings import Settings
from app.settings.private_files import sync_folder
from app.storage.bucket import S3, Objects, scratch

_HALF: Final = ".half-"


class Store(Protocol):
    """Files by name, such as `notes/1.json`. One is there whole, or not at all."""

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A context in which a file is written: it is in the store, for good, once that has ended
        without an error.

        Raises:
            OSError: it could not be written.
        """

    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A context in which a file is read.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it could not be read.
        """

    def names(self) -> list[str]:
        """The names of all files, in their order.

        Raises:
            OSError: they could not be listed.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: it could not be removed.
        """


def store_at(settings: Settings, where: str) -> Store:
    """The store at a place.

    Args:
        settings: how the S3 service is reached (`SATCHEL_ANALYTICS_ARCHIVE_*`).
        where: a folder, or `s3://bucket/prefix`.
    """
    return BucketStore(settings, where) if where.startswith(S3) else FolderStore(Path(where))


class FolderStore:
    """Files below a folder, for their owner's eyes only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See `Store`."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        half = target.with_name(f"{_HALF}{secrets.token_hex(4)}-{target.name}")
        descriptor = os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            half.replace(target)
            sync_folder(target.parent)
        finally:
            half.unlink(missing_ok=True)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """See `Store`."""
        with (self.path / name).open("rb") as file:
            yield file

    def names(self) -> list[str]:
        """See `Store`."""
        return sorted(
            str(each.relative_to(self.path))
            for each in self.path.rglob("*")
            if each.is_file() and not each.name.startswith(_HALF)
        )

    def remove(self, name: str) -> None:
        """See `Store`."""
        (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what is left of files whose writers were killed."""
        for half in self.path.rglob(f"{_HALF}*"):
            half.unlink(missing_ok=True)


class BucketStore(Objects):
    """Files that are objects of a bucket."""

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See `Store`."""
        with scratch() as file:
            yield file
            self.put(name, file)

    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """See `Store`."""
        return self.fetched(name)


def write(store: Store, name: str, content: bytes) -> None:
    """Have a small file in a store."""
    with store.writing(name) as file:
        file.write(content)


def read(store: Store, name: str) -> bytes:
    """A small file of a store.

    Raises:
        FileNotFoundError: it is not there.
    """
    with store.reading(name) as file:
        return file.read()
