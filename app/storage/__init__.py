"""Where files are kept outside the database: a folder, or a bucket of a service that speaks S3. All
of it blocks."""

import hashlib
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from app.settings import Settings
from app.storage.bucket import S3, BucketStore
from app.storage.folder import FolderStore

_CHUNK: Final = 1 << 20


class Half(Protocol):
    """A file that is being written: it is in the store once it is kept, whole, or not at all.

    Attributes:
        file: to be written to, and read again.
    """

    file: BinaryIO

    def keep(self) -> None:
        """Have it in the store, for good.

        Raises:
            OSError: it could not be written.
        """

    def abandon(self) -> None:
        """Leave nothing of a file that is not kept; nothing for one that is."""


class Store(Protocol):
    """Files by name, such as `notes/1.json`. One is there whole, or not at all."""

    def begin(self, name: str) -> Half:
        """Begin a file.

        Raises:
            OSError: it could not be begun.
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
        """Remove a file, if it is there, and what is left of writing it.

        Raises:
            OSError: it could not be removed.
        """

    def sweep(self, below: str = "", older: timedelta = timedelta()) -> None:
        """Remove what is left of files whose writers were killed.

        Args:
            below: only in this folder and what is in it.
            older: only of what was begun so long ago.

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


def write(store: Store, name: str, content: bytes) -> None:
    """Have a small file in a store."""
    half = store.begin(name)
    try:
        half.file.write(content)
        half.keep()
    finally:
        half.abandon()


def read(store: Store, name: str) -> bytes:
    """A small file of a store.

    Raises:
        FileNotFoundError: it is not there.
    """
    with store.reading(name) as file:
        return file.read()


def checksum(file: BinaryIO) -> str:
    """SHA-256 of a whole file."""
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(_CHUNK):
        digest.update(part)
    return digest.hexdigest()
