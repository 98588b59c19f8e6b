"""Where archive files are kept: a folder, or a bucket of a service that speaks S3 (by obstore). All
of it blocks."""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from glob import escape
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeVar

from app.analytics.archive.files import SUFFIX, DamagedArchiveError, Packing, Written, checksum
from app.settings import Settings
from app.settings.private_files import sync_folder
from app.storage.bucket import S3, Objects, scratch
from models.base import Raw

_DEAD: Final = timedelta(days=1)

T = TypeVar("T")
Unpack = Callable[[BinaryIO, str, str], Iterator[T]]
"""`unpack_rows` or `unpack_ids`: takes a file, its name and its checksum."""


class Writing(Protocol):
    """A file that is being written: it is there once it is finished, whole and checked, or not at
    all."""

    def add(self, rows: Iterable[Raw]) -> int:
        """Write a batch of events, as stored. How many bytes these are with all before, not packed.

        Raises:
            OSError: it could not be written.
        """

    def finish(self) -> Written:
        """Have the file in the archive, and read it again.

        Raises:
            DamagedArchiveError: what was read again is not what was written.
            OSError: it could not be written.
        """

    def abandon(self) -> None:
        """Leave nothing of a file that is not finished; nothing for one that is."""


class Target(Protocol):
    """An archive."""

    def begin(self, name: str) -> Writing:
        """Begin a file.

        Args:
            name: the file's path in the archive.

        Raises:
            OSError: it could not be begun.
        """

    def read(self, name: str, sha256: str, unpack: Unpack[T]) -> Iterator[T]:
        """The events of a file as they are asked for, or their ids.

        Raises:
            DamagedArchiveError: its checksum is another; this is known before the first event is.
            FileNotFoundError: it is not there.
            OSError: it could not be read.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and what is left of writing it.

        Raises:
            OSError: it could not be removed.
        """


def archive_target(settings: Settings) -> Target:
    """The archive of this Satchel.

    Raises:
        ValueError: it has none.
    """
    where = settings.analytics_archive
    if where is None:
        raise ValueError("SATCHEL_ANALYTICS_ARCHIVE is not set: there is no archive")
    return Bucket(settings, where) if where.startswith(S3) else Folder(Path(where))


class Folder:
    """Files below a folder, for their owner's eyes only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, name: str) -> Writing:
        """See `Target`."""
        return _HalfFile(self.path / name, name)

    def read(self, name: str, sha256: str, unpack: Unpack[T]) -> Iterator[T]:
        """See `Target`."""
        with (self.path / name).open("rb") as file:
            yield from unpack(file, name, sha256)

    def remove(self, name: str) -> None:
        """See `Target`."""
        target = self.path / name
        target.unlink(missing_ok=True)
        for half in target.parent.glob(f".{escape(target.name)}.*"):
            half.unlink(missing_ok=True)


class _HalfFile:
    """See `Writing`; a file has its name only once it is whole, checked, and on the disk."""

    def __init__(self, target: Path, name: str) -> None:
        self.target, self.name = target, name
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        self.half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        self.file = self.half.open("w+b")
        os.chmod(self.half, 0o600)  # noqa: PTH101
        self.packing = Packing(self.file)

    def add(self, rows: Iterable[Raw]) -> int:
        """See `Writing`."""
        self.packing.add(rows)
        return self.packing.size

    def finish(self) -> Written:
        """See `Writing`."""
        self.packing.finish()
        os.fsync(self.file.fileno())
        sha256, size = checksum(self.file), self.file.tell()
        self.packing.compare(self.file, self.name)
        self.file.close()
        self.half.replace(self.target)
        sync_folder(self.target.parent)
        return Written(self.name, self.packing.rows, size, sha256)

    def abandon(self) -> None:
        """See `Writing`."""
        self.file.close()
        self.half.unlink(missing_ok=True)


class Bucket(Objects):
    """Files that are objects of a bucket."""

    def begin(self, name: str) -> Writing:
        """See `Target`."""
        return _Upload(self, name)

    def read(self, name: str, sha256: str, unpack: Unpack[T]) -> Iterator[T]:
        """See `Target`."""
        with self.fetched(name) as file:
            yield from unpack(file, name, sha256)


class _Upload:
    """See `Writing`; an object that is not what was sent is removed again."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self.bucket, self.name = bucket, name
        self.file = scratch()
        self.packing = Packing(self.file)

    def add(self, rows: Iterable[Raw]) -> int:
        """See `Writing`."""
        self.packing.add(rows)
        return self.packing.size

    def finish(self) -> Written:
        """See `Writing`."""
        self.packing.finish()
        sha256, size = checksum(self.file), self.file.tell()
        self.bucket.put(self.name, self.file)
        try:
            with self.bucket.fetched(self.name) as file:
                if checksum(file) != sha256:
                    raise DamagedArchiveError(f"{self.name} is not what was sent")
                self.packing.compare(file, self.name)
        except Exception:
            with suppress(OSError):  # what is wrong is the first fault
                self.bucket.remove(self.name)
            raise
        return Written(self.name, self.packing.rows, size, sha256)

    def abandon(self) -> None:
        """See `Writing`."""
        self.file.close()


def _sweep(folder: Path) -> None:
    """Remove half files of processes that died a day ago or earlier."""
    for half in folder.glob(f".*{SUFFIX}.*"):
        with suppress(FileNotFoundError):  # another process was first
            if half.stat().st_mtime < time.time() - _DEAD.total_seconds():
                half.unlink()
