"""Archive files: a day's raw events of one app as NDJSON packed by zstd, written whole or not at all, and checked."""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard
from bson import json_util

from models.base import Raw

SUFFIX: Final = ".ndjson.zst"
_CANONICAL: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)


class DamagedArchiveError(Exception):
    """A file is not what was written: its checksum or its number of events differs."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written and read again: its name in the archive, events, size, checksum."""

    name: str
    rows: int
    bytes: int
    sha256: str


def write_file(archive: Path, name: str, rows: Iterable[Raw]) -> Written:
    """Write a file, read it again, and put it in its place.

    Args:
        archive: the archive's folder.
        name: the file's path below it.
        rows: the events, as stored; MongoDB's extended JSON keeps their types.

    Raises:
        DamagedArchiveError: what was read again is not what was written.
        OSError: it could not be written.
    """
    target = archive / name
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    count = 0
    try:
        with half.open("wb") as file:
            os.chmod(half, 0o600)  # noqa: PTH101
            with zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False) as packed:
                for row in rows:
                    packed.write(json_util.dumps(row, json_options=_CANONICAL).encode() + b"\n")
                    count += 1
            file.flush()
            os.fsync(file.fileno())
        sha256 = checksum(half)
        if sum(1 for _ in read_file(half, sha256)) != count:
            raise DamagedArchiveError(f"{name} does not have the {count} events that were written")
        half.replace(target)
        _sync_folder(target.parent)
    finally:
        half.unlink(missing_ok=True)
    return Written(name, count, target.stat().st_size, sha256)


def read_file(path: Path, sha256: str) -> Iterator[Raw]:
    """The events of a file.

    Raises:
        DamagedArchiveError: its checksum is another.
        FileNotFoundError: it is not there.
    """
    if checksum(path) != sha256:
        raise DamagedArchiveError(f"{path.name} was changed or damaged: its checksum is not the one that was noted")
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
        rest = b""
        while chunk := plain.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                row: Raw = json_util.loads(line, json_options=_CANONICAL)
                yield row


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
