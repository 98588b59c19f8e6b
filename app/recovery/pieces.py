"""Pieces of a backup on their way into a file and out of it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import zstandard
from bson.raw_bson import RawBSONDocument

from app.errors.sentences import Telling
from app.recovery.manifest import Piece
from app.storage import Store, checksum

_LEVEL: Final = 3
_CHUNK: Final = 1 << 20
_LENGTH: Final = 4
_LONGEST: Final = 17 * 1024 * 1024


class DamagedBackupError(Telling):
    """A file of a backup is not what was written."""


class Writing:
    """A piece that is being written."""

    def __init__(self, store: Store, name: str) -> None:
        self.name, self.documents, self.bytes = name, 0, 0
        self._half = store.begin(name)
        self._file = _Hashed(self._half.file)
        packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._packed = packer.stream_writer(self._file, closefd=False)  # type: ignore[arg-type]

    def add(self, batch: bytes) -> None:
        """Write a batch of documents."""
        self.documents += sum(1 for _ in _starts(batch))
        self.bytes += len(batch)
        self._packed.write(batch)

    def finish(self) -> Piece:
        """Have the piece in the store."""
        self._packed.close()  # type: ignore[no-untyped-call]
        digest = self._file.digest.hexdigest()
        self._half.keep()
        return Piece(self.name, self.documents, self.bytes, self._file.size, digest)

    def abandon(self) -> None:
        """Leave nothing of it; nothing for one that is finished."""
        self._half.abandon()


class _Hashed:
    """A file whose checksum is taken as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest, self.size = hashlib.sha256(), 0
        self._file = file

    def write(self, content: Any) -> int:
        self.digest.update(content)
        self.size += len(content)
        return self._file.write(content)

    def flush(self, *_: Any) -> None:
        self._file.flush()


def _starts(batch: bytes) -> Iterator[int]:
    place = 0
    while place < len(batch):
        yield place
        place += int.from_bytes(batch[place : place + _LENGTH], "little")


def check(store: Store, piece: Piece) -> None:
    """See that a piece is what was written.

    Raises:
        DamagedBackupError: it is not.
        FileNotFoundError: it is not there.
    """
    with _checked(store, piece):
        pass


@contextmanager
def _checked(store: Store, piece: Piece) -> Iterator[BinaryIO]:
    with store.reading(piece.name) as file:
        if checksum(file) != piece.sha256:
            raise DamagedBackupError(
                f"{piece.name} was changed or damaged: its checksum is not the one that was noted"
            )
        file.seek(0)
        yield file


def documents_of(store: Store, piece: Piece, most: int) -> Iterator[list[RawBSONDocument]]:
    """The documents of a piece in batches of about so many bytes, once its checksum was right.

    Raises:
        DamagedBackupError: the file is not what was written.
        FileNotFoundError: it is not there.
    """
    with _checked(store, piece) as file:
        yield from _batches(file, piece.name, most)


def _batches(file: BinaryIO, name: str, most: int) -> Iterator[list[RawBSONDocument]]:
    rest, found, size = b"", list[RawBSONDocument](), 0
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as plain:
        while chunk := plain.read(_CHUNK):
            rest, place = rest + chunk, 0
            while (length := _whole(rest, place, name)) is not None:
                found.append(RawBSONDocument(rest[place : place + length]))
                place, size = place + length, size + length
            rest = rest[place:]
            if size >= most:
                yield found
                found, size = [], 0
    if rest:
        raise DamagedBackupError(f"{name} ends within a document")
    if found:
        yield found


def _whole(rest: bytes, place: int, name: str) -> int | None:
    """The length of the document at a place, None where it goes on behind what there is."""
    if place + _LENGTH > len(rest):
        return None
    length = int.from_bytes(rest[place : place + _LENGTH], "little")
    if not _LENGTH < length <= _LONGEST:
        raise DamagedBackupError(f"{name} holds what is no document")
    return length if place + length <= len(rest) else None
