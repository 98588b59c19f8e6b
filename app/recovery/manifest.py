"""The manifest of a backup: what it consists of. A backup without one is none."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from bson import json_util

from app.errors.sentences import Telling
from app.storage import Store, read, write

NAME: Final = "manifest.json"
SUFFIX: Final = ".bson.zst"
_FORMAT: Final = 1


class NoBackupError(Telling):
    """There is no whole backup at a place, or it is not what was written."""


@dataclass(slots=True)
class Piece:
    """A file of a backup: BSON documents one after another, packed by zstd.

    Attributes:
        name: in the store.
        documents: how many.
        bytes: not packed.
        packed: the file's size.
        sha256: of the file.
    """

    name: str
    documents: int
    bytes: int
    packed: int
    sha256: str


@dataclass(slots=True)
class Part:
    """A collection in a backup; `options` and `indexes` as the database tells them."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    indexes: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    @property
    def documents(self) -> int:
        """How many there are."""
        return sum(each.documents for each in self.pieces)


@dataclass(slots=True)
class Manifest:
    """What a backup consists of. `cluster_time` (seconds, counter) is when the database was so."""

    database: str
    release: str
    at: str
    cluster_time: tuple[int, int]
    parts: list[Part]

    @property
    def pieces(self) -> Iterator[Piece]:
        """All of them."""
        return (piece for part in self.parts for piece in part.pieces)

    @property
    def documents(self) -> int:
        """How many there are in all."""
        return sum(part.documents for part in self.parts)

    @property
    def bytes(self) -> int:
        """How many these are, not packed."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def packed(self) -> int:
        """How many the files have."""
        return sum(piece.packed for piece in self.pieces)

    @property
    def moment(self) -> datetime:
        """When the database was so."""
        return datetime.fromisoformat(self.at)

    def digest(self) -> str:
        """What tells this backup from every other."""
        return _digest(asdict(self))

    def keep(self, store: Store) -> None:
        """Write it: from then on there is a backup."""
        body = {"format": _FORMAT, "backup": asdict(self), "sha256": self.digest()}
        write(store, NAME, _spelled(body, indent=1))

    @classmethod
    def of(cls, store: Store) -> Self:
        """That of the backup at a place, which has every file that it names.

        Raises:
            NoBackupError: there is none, or it is not whole.
        """
        try:
            body = json_util.loads(read(store, NAME), json_options=_JSON)
            told, found = body["backup"], cls._read(body["backup"])
        except FileNotFoundError:
            raise NoBackupError("there is no whole backup: it has no manifest.json") from None
        except (KeyError, TypeError, ValueError):
            raise NoBackupError("manifest.json is none of ours, or damaged") from None
        if body.get("format") != _FORMAT:
            raise NoBackupError("manifest.json is of another version of Satchel")
        if body.get("sha256") != _digest(told):
            raise NoBackupError("manifest.json was changed or damaged: its checksum is another")
        if missing := {piece.name for piece in found.pieces} - set(store.names()):
            raise NoBackupError(f"{len(missing)} files are missing, such as {min(missing)}")
        return found

    @classmethod
    def _read(cls, told: dict[str, Any]) -> Self:
        parts = [
            Part(**{**each, "pieces": [Piece(**piece) for piece in each["pieces"]]})
            for each in told["parts"]
        ]
        return cls(**{**told, "cluster_time": tuple(told["cluster_time"]), "parts": parts})


_JSON: Final = json_util.RELAXED_JSON_OPTIONS.with_options(tz_aware=True)


def _spelled(body: Any, **options: Any) -> bytes:
    text: str = json_util.dumps(body, json_options=_JSON, **options)
    return text.encode()


def _digest(told: Any) -> str:
    plain = json.loads(_spelled(told))  # as it is once it was read
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def stamp(moment: datetime) -> str:
    """A time as the manifest has it."""
    return moment.isoformat(timespec="milliseconds")
