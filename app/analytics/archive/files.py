"""Archive files: raw events of one app and day as NDJSON packed by zstd, written batch by batch,
and checked."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import zstandard
from bson import ObjectId, json_util
from bson.codec_options import DatetimeConversion

from app.errors.sentences import Telling
from app.storage import checksum
from models.base import Raw

SUFFIX: Final = ".ndjson.zst"
_CANONICAL: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_CHUNK: Final = 1 << 20
_ID_STARTS, _ID_ENDS = b'{"_id": {"$oid": "', b'"}, '
_ID: Final = slice(len(_ID_STARTS), len(_ID_STARTS) + 24)


class DamagedArchiveError(Telling):
    """A file is not what was written: its checksum or its content differs."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written and read again: its name in the archive, events, size, checksum."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Packing:
    """Events on their way into a file, as stored; MongoDB's extended JSON keeps their types.

    Attributes:
        rows: how many there are so far.
        size: their bytes before they are packed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.rows = self.size = 0
        self._file, self._content = file, hashlib.sha256()
        self._packed = zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False)

    def add(self, rows: Iterable[Raw]) -> None:
        """Write a batch."""
        lines = [json_util.dumps(row, json_options=_CANONICAL).encode() + b"\n" for row in rows]
        plain = b"".join(lines)
        self._packed.write(plain)
        self._content.update(plain)
        self.rows, self.size = self.rows + len(lines), self.size + len(plain)

    def finish(self) -> None:
        """Write the end; nothing is to be added any more."""
        self._packed.close()  # type: ignore[no-untyped-call]
        self._file.flush()

    def compare(self, file: BinaryIO, name: str) -> None:
        """See that a file holds exactly what was written.

        Raises:
            DamagedArchiveError: it does not.
        """
        found, content = 0, hashlib.sha256()
        try:
            for plain in _plain(file):
                found += plain.count(b"\n")
                content.update(plain)
        except zstandard.ZstdError:
            raise DamagedArchiveError(f"{name} cannot be unpacked") from None
        if (found, content.digest()) != (self.rows, self._content.digest()):
            raise DamagedArchiveError(
                f"{name} does not have the {self.rows} events that were written"
            )


def unpack_rows(file: BinaryIO, name: str, sha256: str) -> Iterator[Raw]:
    """The events of a file, which is read from its beginning.

    Raises:
        DamagedArchiveError: its checksum is another.
    """
    for line in _lines(file, name, sha256):
        row: Raw = json_util.loads(line, json_options=_CANONICAL)
        yield row


def unpack_ids(file: BinaryIO, name: str, sha256: str) -> Iterator[Any]:
    """The ids of the events of a file, at a tenth of the cost of the events.

    Raises:
        DamagedArchiveError: its checksum is another.
    """
    for line in _lines(file, name, sha256):
        if line.startswith(_ID_STARTS) and line[_ID.stop :].startswith(_ID_ENDS):
            yield ObjectId(line[_ID].decode())
        else:
            yield json_util.loads(line, json_options=_CANONICAL)["_id"]


def _lines(file: BinaryIO, name: str, sha256: str) -> Iterator[bytes]:
    if checksum(file) != sha256:
        raise DamagedArchiveError(
            f"{name} was changed or damaged: its checksum is not the one that was noted"
        )
    rest = b""
    for plain in _plain(file):
        *lines, rest = (rest + plain).split(b"\n")
        yield from lines


def _plain(file: BinaryIO) -> Iterator[bytes]:
    """What a file holds, unpacked, in chunks."""
    file.seek(0)
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as plain:
        while chunk := plain.read(_CHUNK):
            yield chunk
