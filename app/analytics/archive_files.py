"""Archive files: a day's raw events of one app as NDJSON packed by zstd, written whole or not at all, and checked."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import zstandard
from bson import json_util

from app.failures import Telling
from models.base import Raw

SUFFIX: Final = ".ndjson.zst"
_CANONICAL: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
_PART: Final = 1 << 20


class DamagedArchiveError(Telling):
    """A file is not what was written: its checksum or its number of events differs."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written and read again: its name in the archive, events, size, checksum."""

    name: str
    rows: int
    bytes: int
    sha256: str


def pack_rows(rows: Iterable[Raw], file: BinaryIO) -> int:
    """Write events as stored; MongoDB's extended JSON keeps their types. How many there were."""
    count = 0
    with zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False) as packed:
        for row in rows:
            packed.write(json_util.dumps(row, json_options=_CANONICAL).encode() + b"\n")
            count += 1
    file.flush()
    return count


def unpack_rows(file: BinaryIO, name: str, sha256: str) -> Iterator[Raw]:
    """The events of a file, which is read from its beginning.

    Raises:
        DamagedArchiveError: its checksum is another.
    """
    if checksum(file) != sha256:
        raise DamagedArchiveError(f"{name} was changed or damaged: its checksum is not the one that was noted")
    file.seek(0)
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as plain:
        rest = b""
        while chunk := plain.read(_PART):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                row: Raw = json_util.loads(line, json_options=_CANONICAL)
                yield row


def checksum(file: BinaryIO) -> str:
    """SHA-256 of a whole file."""
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(_PART):
        digest.update(part)
    return digest.hexdigest()


def see_all(rows: Iterable[Raw], name: str, count: int) -> None:
    """See that what was read again are as many events as were written.

    Raises:
        DamagedArchiveError: they are not.
    """
    if sum(1 for _ in rows) != count:
        raise DamagedArchiveError(f"{name} does not have the {count} events that were written")
