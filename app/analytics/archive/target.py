"""The archive's files in a folder or a bucket: written, read again, checked. All of it blocks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath
from typing import BinaryIO, Final, TypeVar

from app.analytics.archive.files import DamagedArchiveError, Packing, Written
from app.settings import Settings
from app.storage import Store, checksum, store_at
from models.base import Raw

_DEAD: Final = timedelta(days=1)
"""A file that was begun so long ago is not written any more: its process was killed."""

T = TypeVar("T")
Unpack = Callable[[BinaryIO, str, str], Iterator[T]]
"""`unpack_rows` or `unpack_ids`: takes a file, its name and its checksum."""


class Target:
    """An archive."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, name: str) -> "Writing":
        """Begin a file.

        Args:
            name: the file's path in the archive.

        Raises:
            OSError: it could not be begun.
        """
        self._store.sweep(str(PurePosixPath(name).parent), _DEAD)
        return Writing(self._store, name)

    def read(self, name: str, sha256: str, unpack: Unpack[T]) -> Iterator[T]:
        """The events of a file as they are asked for, or their ids.

        Raises:
            DamagedArchiveError: its checksum is another; this is known before the first event is.
            FileNotFoundError: it is not there.
            OSError: it could not be read.
        """
        with self._store.reading(name) as file:
            yield from unpack(file, name, sha256)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and what is left of writing it.

        Raises:
            OSError: it could not be removed.
        """
        self._store.remove(name)


def archive_target(settings: Settings) -> Target:
    """The archive of this Satchel.

    Raises:
        ValueError: it has none.
    """
    if settings.analytics_archive is None:
        raise ValueError("SATCHEL_ANALYTICS_ARCHIVE is not set: there is no archive")
    return Target(store_at(settings, settings.analytics_archive))


class Writing:
    """A file that is being written: it is there once it is finished, whole and checked, or not at
    all."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._half = store.begin(name)
        self._packing = Packing(self._half.file)

    def add(self, rows: Iterable[Raw]) -> int:
        """Write a batch of events, as stored. How many bytes these are with all before, not packed.

        Raises:
            OSError: it could not be written.
        """
        self._packing.add(rows)
        return self._packing.size

    def finish(self) -> Written:
        """Have the file in the archive, and read it again; one that is not what was written is
        removed.

        Raises:
            DamagedArchiveError: what was read again is not what was written.
            OSError: it could not be written.
        """
        self._packing.finish()
        sha256, size = checksum(self._half.file), self._half.file.tell()
        self._half.keep()
        try:
            with self._store.reading(self._name) as file:
                if checksum(file) != sha256:
                    raise DamagedArchiveError(f"{self._name} is not what was written")
                self._packing.compare(file, self._name)
        except Exception:
            with suppress(OSError):  # what is wrong is the first fault
                self._store.remove(self._name)
            raise
        return Written(self._name, self._packing.rows, size, sha256)

    def abandon(self) -> None:
        """Leave nothing of a file that is not finished; nothing for one that is."""
        self._half.abandon()
