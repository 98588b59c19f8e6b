"""Compaction of the ledger: what no backup that is kept needs goes, and many files become few.

Nothing is lost to a crash: it is said first what may go, a file is there whole before those that it
stands for are removed, and what is there twice then is replayed twice, which changes nothing.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

from bson import json_util

from app.ledger import Ledger
from models.base import Raw

TOGETHER: Final = 10_000
"""Notes in a file, about."""
MARGIN: Final = timedelta(hours=1)
"""How long before its commit an act may have taken its time, with much to spare: a transaction
lives for a minute."""


@dataclass(slots=True)
class Compacted:
    """What was done, or would be: files and notes before and after."""

    files_before: int = 0
    files: int = 0
    notes_before: int = 0
    notes: int = 0


@dataclass(slots=True)
class _Group:
    """Files whose notes are to be in one."""

    names: list[str] = field(default_factory=list)
    notes: list[Raw] = field(default_factory=list)
    is_as_stored: bool = True

    def add(self, name: str, notes: list[Raw], kept: list[Raw]) -> None:
        self.is_as_stored = not self.names and kept == notes
        self.names.append(name)
        self.notes += kept


class _Seen:
    """Tells a note that was met a short while ago: one that a killed compaction left twice."""

    def __init__(self) -> None:
        self._order, self._digests = deque[bytes](), set[bytes]()

    def add(self, note: Raw) -> bool:
        """Whether it is new."""
        digest = hashlib.sha256(json_util.dumps(note, sort_keys=True).encode()).digest()
        if digest in self._digests:
            return False
        self._order.append(digest)
        self._digests.add(digest)
        if len(self._order) > 3 * TOGETHER:
            self._digests.discard(self._order.popleft())
        return True


def compact(ledger: Ledger, oldest_backup: datetime | None, *, dry: bool = False) -> Compacted:
    """Compact what was in the ledger when this began. All of it blocks.

    Args:
        ledger: of which database.
        oldest_backup: of when the oldest backup is that may ever be restored; None: everything
            stays, in fewer files.
        dry: say what would be done, and do nothing.

    Raises:
        DamagedLedgerError: a file is not what was written. It stays, and so do all after it.
        OSError: a file could not be read, written or removed. Nothing is lost.
    """
    done, group, seen = Compacted(), _Group(), _Seen()
    before = _agreed(ledger, oldest_backup, dry)
    for name in ledger.files():
        notes = ledger.notes_in(name)
        kept = [each for each in notes if not _is_over(each, before) and seen.add(each)]
        done.files_before, done.notes_before = done.files_before + 1, done.notes_before + len(notes)
        group.add(name, notes, kept)
        if len(group.notes) >= TOGETHER:
            _settle(ledger, group, done, dry)
            group = _Group()
    if group.names:
        _settle(ledger, group, done, dry)
    return done


def _agreed(ledger: Ledger, oldest_backup: datetime | None, dry: bool) -> datetime | None:
    """What is older may go; once said, it is not taken back."""
    said = ledger.remembers_from()
    asked = None if oldest_backup is None else oldest_backup - MARGIN
    if asked is None or (said is not None and asked <= said):
        return said
    if not dry:
        ledger.forget_before(asked)
    return asked


def _is_over(note: Raw, before: datetime | None) -> bool:
    return before is not None and bool(note["at"] < before)


def _settle(ledger: Ledger, group: _Group, done: Compacted, dry: bool) -> None:
    """Have the notes of a group in one file, named as the last of those that it stands for."""
    done.notes += len(group.notes)
    done.files += bool(group.notes)
    if dry or group.is_as_stored:
        return
    if group.notes:
        ledger.add(number_of(group.names[-1]), group.notes, after=group.names[-1])
    for name in reversed(group.names):  # what a kill leaves stands in its order before the new one
        ledger.remove(name)


def number_of(name: str) -> int:
    """The number that a file of notes was given."""
    return int(PurePosixPath(name).name.partition("-")[0])
