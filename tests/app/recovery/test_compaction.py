"""The ledger is made smaller without losing what a backup that is kept needs, killed or not."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client import REGISTRY
from pymongo.asynchronous.database import AsyncDatabase

from app.ledger import DamagedLedgerError, Ledger, compaction, gauges, write_out
from app.ledger.compaction import MARGIN, compact
from app.settings import Settings
from app.storage import FolderStore
from models.base import now
from models.ledger_note import LedgerNote
from tests.app.recovery.conftest import Command

Raw = dict[str, Any]
DAY = timedelta(days=1)


class Killed(BaseException):
    """The process ends here."""


class KilledStore(FolderStore):
    """A folder whose writer is killed at its n-th write or removal."""

    left = 10**9

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def begin(self, name: str) -> Any:
        self._count()
        return super().begin(name)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)


@pytest.fixture
def store(tmp_path: Path) -> KilledStore:
    return KilledStore(tmp_path)


@pytest.fixture
def ledger(store: KilledStore, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A hundred files of three notes, one file a day, the last one of today."""
    monkeypatch.setattr(compaction, "TOGETHER", 20)
    made, today = Ledger(store, "satchel"), now()
    for number in range(1, 101):
        made.add(number, [note(today - (100 - number) * DAY) for _ in range(3)])
    return made


def note(at: datetime) -> Raw:
    return {"kind": "revoked", "subject": ObjectId(), "below": 2, "at": at}


def subjects(ledger: Ledger) -> Iterator[tuple[ObjectId, datetime]]:
    for notes in ledger.notes():
        yield from ((each["subject"], each["at"]) for each in notes)


def test_what_every_backup_is_younger_than_goes_and_the_rest_stays_in_its_order(
    ledger: Ledger,
) -> None:
    before = list(subjects(ledger))
    backup = now() - 40 * DAY - timedelta(minutes=10)
    wanted = [each for each in before if each[1] >= backup - MARGIN]
    would = compact(ledger, backup, dry=True)
    assert list(subjects(ledger)) == before, "a dry run does nothing"
    done = compact(ledger, backup)
    assert done == would
    assert list(subjects(ledger)) == wanted
    assert (done.notes_before, done.notes, done.files_before) == (300, len(wanted), 100)
    assert done.files == len(ledger.files()) < 10
    files = ledger.files()
    assert compact(ledger, None).notes == len(wanted)
    assert len(ledger.files()) <= len(files)
    assert list(subjects(ledger)) == wanted, "a repeat loses nothing"


def test_without_a_backup_nothing_is_left_out(ledger: Ledger) -> None:
    before = list(subjects(ledger))
    assert compact(ledger, None).files < 20
    assert list(subjects(ledger)) == before
    assert ledger.remembers_from() is None


def test_a_younger_backup_is_not_forgotten_for_an_older_one(ledger: Ledger) -> None:
    compact(ledger, now() - 10 * DAY)
    said = ledger.remembers_from()
    compact(ledger, now() - 50 * DAY)
    assert ledger.remembers_from() == said


@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere_nothing_is_lost_and_the_next_one_comes_to_the_end(
    ledger: Ledger, store: KilledStore, seed: int
) -> None:
    before, backup = list(subjects(ledger)), now() - 70 * DAY - timedelta(minutes=10)
    wanted = [each for each in before if each[1] >= backup - MARGIN]
    dice = random.Random(seed)
    for _ in range(3):
        store.left = dice.randrange(60)
        try:
            compact(ledger, backup)
        except Killed:
            assert set(subjects(ledger)) >= set(wanted)
        store.left = 10**9
        ledger.add(101, [])  # a worker goes on
    compact(ledger, backup)
    assert list(subjects(ledger)) == wanted, "in their order, and once"


def test_what_is_in_the_place_of_others_comes_after_the_last_of_them(ledger: Ledger) -> None:
    """Else chance says whether what a kill leaves stands before it or after it."""
    for _ in range(20):
        old = ledger.files()[-1]
        ledger.add(100, [note(now())], after=old)
        assert ledger.files()[-2] == old


def test_a_damaged_file_stops_it_and_stays(ledger: Ledger, store: KilledStore) -> None:
    name = ledger.files()[50]
    (store.path / name).write_text("{}")
    with pytest.raises(DamagedLedgerError):
        compact(ledger, now())
    assert name in ledger.files()
    assert len(ledger.files()) >= 50


async def test_a_backup_that_the_ledger_has_forgotten_is_not_restored_unasked(
    base_settings: Settings, database: AsyncDatabase[Raw], command: Command, tmp_path: Path
) -> None:
    old, name = str(tmp_path / "old"), f"{database.name}_old"
    assert "holds nothing" in command("backup", old, database=name, code=1)
    await database.client[name]["users"].insert_one({"version": 1})
    command("backup", old, database=name)
    assert "0 notes" in command("ledger", "compact", "--backup", old, database=name)
    later = (now() + 2 * MARGIN).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = command("ledger", "compact", "--before", later, database=name, code=1)
    assert "future" in told
    command("restore", old, "--replace", database=name)
    Ledger.of(base_settings.model_copy(update={"database": name})).forget_before(now())
    assert "would be back" in command("restore", old, "--replace", database=name, code=1)
    command("restore", old, "--replace", "--forgotten", database=name)
    await database.client.drop_database(name)


async def test_what_waits_and_how_large_it_is_is_measured(
    base_settings: Settings, database: AsyncDatabase[Raw], tmp_path: Path
) -> None:
    settings = base_settings.model_copy(update={"ledger": str(tmp_path)})
    at = now() - timedelta(hours=2)
    await LedgerNote.raw().insert_one(note(at))
    await gauges.measured(settings).measure()
    waits, files, oldest = (
        REGISTRY.get_sample_value(f"satchel_ledger_{name}")
        for name in ("waiting_seconds", "files", "oldest_seconds")
    )
    assert (round((waits or 0) / 3600), files, oldest) == (2, 0, 0)
    await write_out(settings)
    await gauges.measured(settings).measure()
    waits, files, oldest = (
        REGISTRY.get_sample_value(f"satchel_ledger_{name}")
        for name in ("waiting_seconds", "files", "oldest_seconds")
    )
    assert (waits, files, round((oldest or 0) / 3600)) == (0, 1, 2)
