"""The ledger outside of the database: what was deleted and revoked, ids only, and how far the
database had come.

A restored backup knows nothing of what was deleted after it, so this is kept elsewhere: in a folder
or a bucket. Each file is there whole or not at all, and never changes (`compaction` puts one in the
place of several); a number is taken in the database before its file is written. So a database whose
number is less than the ledger's is older than it: it was restored.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from bson import json_util

from app.errors.sentences import Telling
from app.settings import Settings
from app.storage import Store, read, store_at, write
from app.web.observability import log
from models.base import Raw
from models.deployment import Deployment
from models.ledger_note import LedgerNote
from models.unreadable import Unreadable

_POSITION: Final = "position.json"
_COMPACTED: Final = "compacted.json"
_NOTES: Final = "notes/"
_BATCH: Final = 10_000
_PATIENCE_SECONDS: Final = 2
_JSON: Final = json_util.RELAXED_JSON_OPTIONS.with_options(tz_aware=True)


class DamagedLedgerError(Telling):
    """A file of the ledger is not what was written."""


class LedgerAheadError(Telling):
    """The ledger has more than this database knows of: it was restored, and is not to write
    there."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a database, or the ledger, has come: its epoch, and the number of the last note."""

    epoch: int = 0
    number: int = 0

    def is_behind(self, other: "Position") -> bool:
        """Whether a database at this position is older than a ledger at the other."""
        return self.epoch < other.epoch or self.number < other.number


class Ledger:
    """The ledger of one database. All of it blocks."""

    def __init__(self, store: Store, database: str) -> None:
        self._store, self._at = store, f"{database}/"

    @classmethod
    def of(cls, settings: Settings) -> "Ledger":
        """That of this Satchel."""
        return cls(store_at(settings, settings.ledger_place), settings.database)

    def position(self) -> Position:
        """How far it has come.

        Raises:
            OSError: it could not be read.
        """
        try:
            told = self._read(self._at + _POSITION)
        except FileNotFoundError:
            return Position()
        return Position(int(told["epoch"]), int(told["number"]))

    def mark(self, position: Position) -> None:
        """Note how far the database has come.

        Raises:
            OSError: it could not be written.
        """
        self._write(_POSITION, {"epoch": position.epoch, "number": position.number})

    def add(self, number: int, notes: list[Raw], after: str | None = None) -> None:
        """Note these, for good.

        Args:
            number: where they stand among all.
            notes: what is noted.
            after: a file with this number that the new one is to come after.

        Raises:
            OSError: they could not be written.
        """
        mark = secrets.token_hex(4)
        if after is not None:  # longer is later: a full stop is less than any digit
            mark = PurePosixPath(after).stem.partition("-")[2] + secrets.token_hex(1)
        self._write(f"{_NOTES}{number:012}-{mark}.json", notes)

    def notes(self) -> Iterator[list[Raw]]:
        """All that was noted, file by file.

        Raises:
            DamagedLedgerError: a file is not what was written.
            OSError: it could not be read.
        """
        for name in self.files():
            yield self.notes_in(name)

    def files(self) -> list[str]:
        """The names of all files of notes, in their order.

        Raises:
            OSError: they could not be listed.
        """
        return [name for name in self._store.names() if name.startswith(self._at + _NOTES)]

    def notes_in(self, name: str) -> list[Raw]:
        """The notes of one file.

        Raises:
            DamagedLedgerError: it is not what was written.
            OSError: it could not be read.
        """
        found: list[Raw] = self._read(name)
        return found

    def remove(self, name: str) -> None:
        """Remove a file of notes.

        Raises:
            OSError: it could not be removed.
        """
        self._store.remove(name)

    def remembers_from(self) -> datetime | None:
        """Since when it has everything; None where it was never compacted, and has all.

        Raises:
            OSError: it could not be read.
        """
        try:
            found: datetime = self._read(self._at + _COMPACTED)["before"]
        except FileNotFoundError:
            return None
        return found

    def forget_before(self, moment: datetime) -> None:
        """Say that what is older may go, before it goes.

        Raises:
            OSError: it could not be written.
        """
        self._write(_COMPACTED, {"before": moment})

    def _write(self, name: str, told: Any) -> None:
        text = json_util.dumps(told, json_options=_JSON)
        body = {"told": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        write(self._store, self._at + name, json.dumps(body).encode())

    def _read(self, name: str) -> Any:
        try:
            body = json.loads(read(self._store, name))
            if hashlib.sha256(body["told"].encode()).hexdigest() == body["sha256"]:
                return json_util.loads(body["told"], json_options=_JSON)
        except (KeyError, TypeError, ValueError):
            pass
        raise DamagedLedgerError(f"{name} of the ledger was changed or damaged")


async def write_out(settings: Settings) -> int:
    """Note outside what is still to be noted, and how far the database has come. How many notes.

    Raises:
        LedgerAheadError: the database was restored, and `restored` has not come to its end.
        OSError: the ledger could not be read or written: what is to be noted stays.
    """
    ledger, total = Ledger.of(settings), 0
    await _see_that_it_is_not_ahead(ledger)
    while True:
        rows = await LedgerNote.oldest(_BATCH)
        position = Position(*await Deployment.next_number())
        if rows:
            await asyncio.to_thread(ledger.add, position.number, [_told(row) for row in rows])
        await asyncio.to_thread(ledger.mark, position)
        await LedgerNote.drop([row["_id"] for row in rows])
        total += len(rows)
        if len(rows) < _BATCH:
            return total


async def waited_for(settings: Settings, deletions: list[Any]) -> set[Any]:
    """Those of these deletions that the ledger still has not, after another try."""
    if waiting := await LedgerNote.waited_for(deletions):
        try:
            await write_out(settings)
        except (LedgerAheadError, DamagedLedgerError, OSError, Unreadable) as error:
            log.error("receipts wait for the ledger of deletions", error=str(error))
        else:
            waiting = await LedgerNote.waited_for(deletions)
    return waiting


async def is_behind(settings: Settings) -> bool:
    """Whether the database is older than its ledger.

    Raises:
        DamagedLedgerError, OSError: the ledger cannot be read, or not soon.
    """
    reading = asyncio.to_thread(Ledger.of(settings).position)
    told = await asyncio.wait_for(reading, _PATIENCE_SECONDS)  # before the database's own
    return Position(*await Deployment.position()).is_behind(told)


async def _see_that_it_is_not_ahead(ledger: Ledger) -> None:
    told = await asyncio.to_thread(ledger.position)
    if Position(*await Deployment.position()).is_behind(told):
        raise LedgerAheadError(
            "the database is older than its ledger of deletions: python -m scripts restored"
        )


def _told(row: Raw) -> Raw:
    hidden = ("_id", "of", "createdAt", "updatedAt", "version")
    return {name: value for name, value in row.items() if name not in hidden}
