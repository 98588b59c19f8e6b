"""Two integrity checks at once, one killed or stopped on the way: what they say is what one check
says."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.relations import audit, unreadable
from app.relations.audit import check
from app.relations.unreadable import check_rows
from models.base import Raw, now
from models.integrity import IntegrityScan, LostScan
from models.job import Job
from tests.app.relations.toys import RELATIONS, bind_toys
from tests.factories.faults import plant

Found = dict[str, tuple[Any, ...]]


def told(scans: list[IntegrityScan]) -> Found:
    return {
        scan.id: (scan.state, scan.scanned, scan.orphans, scan.mismatches, len(scan.samples))
        for scan in scans
    }


@pytest.fixture(autouse=True)
async def _toys(database: AsyncDatabase[Any]) -> None:
    await bind_toys(database)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 2)
    monkeypatch.setattr(unreadable, "_BATCH", 2)


async def alone() -> Found:
    return told(await check(restart=True, relations=RELATIONS))


async def test_of_checks_at_once_one_goes_on_and_says_what_one_says() -> None:
    await plant()
    expected = await alone()
    for _ in range(3):
        ended = await asyncio.gather(
            *(check(relations=RELATIONS) for _ in range(3)), return_exceptions=True
        )
        assert {type(each) for each in ended} <= {list, LostScan}
        assert any(isinstance(each, list) for each in ended)
        assert told(await IntegrityScan.find_all_scans()) == expected


@pytest.mark.parametrize("restart", [False, True], ids=["goes on", "anew"])
async def test_a_check_that_was_stopped_and_wakes_writes_no_more(restart: bool) -> None:
    await plant()
    expected = await alone()
    held = await IntegrityScan.begin("toynotes.personId", restart=True)
    await held.advance(ObjectId("0" * 24), {"scanned": 0}, [])
    assert told(await check(restart=restart, relations=RELATIONS)) == expected
    with pytest.raises(LostScan):
        await held.advance(ObjectId(), {"scanned": 2, "orphans": 1}, [{"kind": "orphan"}])
    with pytest.raises(LostScan):
        await held.finish()
    assert told(await IntegrityScan.find_all_scans()) == expected


async def test_of_two_that_read_the_workers_rows_at_once_none_counts_twice() -> None:
    rows: list[Raw] = [Job(id=f"j{number}", kind="k", run_at=now()).stored() for number in range(9)]
    await Job.raw().insert_many([*rows[:-1], rows[-1] | {"progress": None}])
    await asyncio.gather(check_rows(), check_rows(), return_exceptions=True)
    (scan,) = [each for each in await IntegrityScan.find_all_scans() if each.id == "jobs"]
    assert (scan.state, scan.scanned, scan.unreadable, len(scan.samples)) == ("done", 9, 1, 1)
