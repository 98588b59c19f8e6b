"""Where archive files are kept: a folder, or a bucket of a service that speaks S3 (by obstore). All of it blocks."""

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from glob import escape
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.analytics.archive_files import SUFFIX, Written, checksum, pack_rows, see_all, unpack_rows
from app.private_files import sync_folder
from app.settings import Settings
from models.base import Raw

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_IN_MEMORY: Final = 16 * 1024 * 1024
_S3: Final = "s3://"
_TRIES: Final["RetryConfig"] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_LONGEST: Final = timedelta(minutes=5)
_DEAD: Final = timedelta(days=1)


class ArchiveUnavailableError(OSError):
    """The service that keeps the archive did not do what it was asked."""


class Target(Protocol):
    """An archive."""

    def write(self, name: str, rows: Iterable[Raw]) -> Written:
        """Write a file whole or not at all, and read it again.

        Args:
            name: the file's path in the archive.
            rows: the events, as stored.

        Raises:
            DamagedArchiveError: what was read again is not what was written.
            OSError: it could not be written.
        """

    def read(self, name: str, sha256: str) -> list[Raw]:
        """The events of a file.

        Raises:
            DamagedArchiveError: its checksum is another.
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
    return Bucket(settings, where) if where.startswith(_S3) else Folder(Path(where))


class Folder:
    """Files below a folder, for their owner's eyes only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, rows: Iterable[Raw]) -> Written:
        """See `Target`; a file has its name only once it is whole, checked, and on the disk."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with half.open("w+b") as file:
                os.chmod(half, 0o600)  # noqa: PTH101
                count = pack_rows(rows, file)
                os.fsync(file.fileno())
                sha256 = checksum(file)
            with half.open("rb") as file:
                see_all(unpack_rows(file, name, sha256), name, count)
            half.replace(target)
            sync_folder(target.parent)
        finally:
            half.unlink(missing_ok=True)
        return Written(name, count, target.stat().st_size, sha256)

    def read(self, name: str, sha256: str) -> list[Raw]:
        """See `Target`."""
        with (self.path / name).open("rb") as file:
            return list(unpack_rows(file, name, sha256))

    def remove(self, name: str) -> None:
        """See `Target`."""
        target = self.path / name
        target.unlink(missing_ok=True)
        for half in target.parent.glob(f".{escape(target.name)}.*"):
            half.unlink(missing_ok=True)


class Bucket:
    """Objects below a prefix of a bucket. An object appears whole; its service checks its SHA-256 as well."""

    def __init__(self, settings: Settings, url: str) -> None:
        bucket, _, prefix = url.removeprefix(_S3).partition("/")
        endpoint = settings.analytics_archive_endpoint
        config: S3Config = {
            "checksum_algorithm": "SHA256",
            "virtual_hosted_style_request": not settings.analytics_archive_path_style,
        }
        if endpoint is not None:
            config["endpoint"] = endpoint.rstrip("/")
        if settings.analytics_archive_region is not None:
            config["region"] = settings.analytics_archive_region
        secret = settings.analytics_archive_secret_access_key
        if settings.analytics_archive_access_key_id is not None and secret is not None:
            config["access_key_id"] = settings.analytics_archive_access_key_id
            config["secret_access_key"] = secret.get_secret_value()
        plain = endpoint is not None and endpoint.startswith("http://")
        options: ClientConfig = {"allow_http": plain, "timeout": _LONGEST}
        self._store = S3Store(
            bucket, prefix=prefix.strip("/") or None, config=config, client_options=options, retry_config=_TRIES
        )

    def write(self, name: str, rows: Iterable[Raw]) -> Written:
        """See `Target`; an object that is not what was sent is removed again."""
        with _scratch() as file:
            count = pack_rows(rows, file)
            sha256, size = checksum(file), file.tell()
            file.seek(0)
            with _told():
                obstore.put(self._store, name, file)
        try:
            see_all(self.read(name, sha256), name, count)
        except Exception:
            with suppress(OSError):  # what is wrong is the first fault
                self.remove(name)
            raise
        return Written(name, count, size, sha256)

    def read(self, name: str, sha256: str) -> list[Raw]:
        """See `Target`."""
        with _scratch() as file:
            with _told():
                for part in obstore.get(self._store, name):
                    file.write(part)
            return list(unpack_rows(file, name, sha256))

    def remove(self, name: str) -> None:
        """See `Target`."""
        with _told():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return


@contextmanager
def _scratch() -> Iterator[BinaryIO]:
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        yield cast(BinaryIO, file)


@contextmanager
def _told() -> Iterator[None]:
    """The library's faults as ours; of what the service says the first line, which holds no credentials."""
    try:
        yield
    except BaseError as error:
        raise ArchiveUnavailableError(
            f"the archive did not answer as it should: {str(error).split(chr(10))[0][:300]}"
        ) from None


def _sweep(folder: Path) -> None:
    """Remove half files of processes that died a day ago or earlier."""
    for half in folder.glob(f".*{SUFFIX}.*"):
        with suppress(FileNotFoundError):  # another process was first
            if half.stat().st_mtime < time.time() - _DEAD.total_seconds():
                half.unlink()
