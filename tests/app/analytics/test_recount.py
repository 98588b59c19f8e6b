"""The recount goes part by part outside one long transaction, and is exact all the same, whatever
comes in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pyroaring import BitMap

from app.analytics.rollup import recount_scan
from app.analytics.rollup.advance import MovedOnError, advance
from app.analytics.rollup.apply import packed_set
from app.analytics.rollup.recount import days_touched, recount_day
from app.analytics.rollup.recount_scan import Scan, part
from app.analytics.rollup.recount_slots import plan
from app.analytics.rollup.slots import people_id
from models.base import Raw, now
from models.day import CountDay, PeopleDay, SessionDay
from models.rollup_state import RollupState
from models.session import VisitSession
from tests.app.analytics.histories import DAY, NAMES, NOTHING, PEOPLE, clear, erase, insert, row_of
from tests.app.analytics.truth import differences

NUMBER = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days
TOLD: Raw = {"app": "notes", "name": NAMES[0], "session": "s1", "message": None, "plan": "team"}

pytestmark = pytest.mark.usefixtures("database")


def event(minutes: int, who: Any = 1, **fields: Any) -> Raw:
    return {
        **row_of({**TOLD, "who": who, "minutes": minutes}, now() - timedelta(seconds=1)),
        **fields,
    }


async def rolled_up(rows: list[Raw]) -> None:
    await clear()
    await insert(rows)
    await advance(NOTHING)


async def test_a_day_is_cut_into_parts_of_whole_slots() -> None:
    await rolled_up([event(minutes) for minutes in (0, 1, 14, 15, 16, 46, 1439)])
    assert await plan("notes", NUMBER, 100) == [range(96)]
    assert await plan("notes", NUMBER, 3) == [range(1), range(1, 95), range(95, 96)]
    assert await plan("notes", NUMBER, 1) == [range(1), range(1, 3), range(3, 95), range(95, 96)]
    assert await plan("boats", NUMBER, 1) == [range(96)]


@pytest.mark.parametrize("most", [1, 3, 100])
async def test_whatever_differs_is_mended_and_told(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part at a time: no scan holds more events than that."""
    scans, real = list[Scan](), Scan.of

    async def noted(app_id: str, start: datetime, end: datetime, properties: Any = ()) -> Scan:
        scan = await real(app_id, start, end, properties)
        scans.extend([] if properties else [scan])
        return scan

    monkeypatch.setattr(Scan, "of", noted)
    await rolled_up(
        [
            event(minutes, who=minutes % 4, sessionId=f"s{minutes % 3}")
            for minutes in range(0, 1440, 100)
        ]
    )
    await CountDay.raw().update_one({}, {"$set": {"counts": bytes(384)}})
    empty = {"sets.0": packed_set(BitMap()), "sets.1": packed_set(BitMap())}
    await PeopleDay.raw().update_many({"scope": "*"}, {"$set": empty})
    await SessionDay.raw().update_one({}, {"$set": {"events": bytes(768)}})
    await VisitSession.raw().delete_many({})
    found = await recount_day("notes", NUMBER, most)
    assert found.events == 15
    assert max(scan.events for scan in scans) <= most
    assert set(found.mended) == {"countdays", "peopledays", "analyticssessions", "sessiondays"}
    assert found.mended["countdays"] == 1
    assert await differences(DAY, ["UTC"]) == []
    assert (await recount_day("notes", NUMBER, most)).mended == {}


async def test_what_no_event_tells_of_goes(database: AsyncDatabase[Raw]) -> None:
    await rolled_up([event(5)])
    for document in (CountDay, PeopleDay):
        row = await document.raw().find_one({})
        assert row is not None
        extra = {**row, "_id": f"{row['_id']}-odd"}
        if document is PeopleDay:
            extra |= {"_id": people_id(NUMBER, "notes", row["level"], "n:x/y"), "scope": "n:x/y"}
        await document.raw().insert_one(extra)
    before = [await document.raw().count_documents({}) for document in (CountDay, PeopleDay)]
    await recount_day("notes", NUMBER)
    after = [await document.raw().count_documents({}) for document in (CountDay, PeopleDay)]
    assert after == [before[0] - 1, before[1] - 1]
    assert await PeopleDay.raw().count_documents({"scope": "n:x/y"}) == 0
    assert await differences(DAY, ["UTC"]) == []


class Between:
    """Does something after the first scan of a part, and before its transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
        self.scans, self.work, real = 0, work, Scan.of

        async def of(*args: Any, **named: Any) -> Scan:
            scan = await real(*args, **named)
            self.scans += 1
            if self.scans == 1:
                await work()
            return scan

        monkeypatch.setattr(recount_scan.Scan, "of", of)


async def test_events_that_go_while_a_part_is_scanned_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await rolled_up([event(1, who=0), event(2, who=0), event(3, who=1)])
    await CountDay.raw().update_one({}, {"$set": {"counts": bytes(384)}})  # something to mend
    between = Between(monkeypatch, lambda: erase(PEOPLE[0]))
    found = await recount_day("notes", NUMBER)
    assert (found.events, between.scans > 1) == (1, True)
    assert await differences(DAY, ["UTC"]) == []


async def test_events_that_come_while_a_part_is_scanned_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await rolled_up([event(1, who=0), event(3, who=1)])
    await CountDay.raw().update_one({}, {"$set": {"counts": bytes(384)}})

    async def come() -> None:
        state = await RollupState.read()
        await insert([event(4, who=2, receivedAt=state.as_of + timedelta(milliseconds=1))])
        while (await RollupState.read()).as_of <= state.as_of + timedelta(milliseconds=1):
            await advance(NOTHING)

    Between(monkeypatch, come)
    found = await recount_day("notes", NUMBER)
    assert found.events == 3
    assert await differences(DAY, ["UTC"]) == []
    assert (await recount_day("notes", NUMBER)).mended == {}


async def test_events_that_wait_for_the_rollups_are_left_to_them() -> None:
    await rolled_up([event(1)])
    ahead = (await RollupState.read()).as_of + timedelta(minutes=1)
    await insert([event(4, who=2, receivedAt=ahead)])
    found = await recount_day("notes", NUMBER)
    assert (found.events, found.mended) == (1, {})


async def test_a_mended_part_conflicts_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    await rolled_up([event(1)])
    tries = list[int]()

    async def work(state: RollupState, session: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:  # the worker moves on in a transaction of its own
            await RollupState.raw().update_one({}, {"$inc": {"nextNumber": 1}})
        return {"countdays": {"x"}}, state.next_number

    assert await part("notes", NUMBER, work) == {"countdays": {"x"}}
    assert len(tries) == 2


async def test_a_recount_that_is_always_overtaken_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    await rolled_up([event(1)])

    async def changed(*_: Any) -> None:
        raise recount_scan.ScanChangedError

    monkeypatch.setattr(recount_scan.Scan, "confirm", changed)
    with pytest.raises(MovedOnError):
        await recount_day("notes", NUMBER)


ODD: dict[str, Any] = {
    "no app": {"appId": ...},
    "an app of no kind": {"appId": ["notes"]},
    "no name": {"eventName": ...},
    "a name of no kind": {"eventName": {"a": 1}},
    "no time": {"timestamp": ...},
    "a time of no kind": {"timestamp": "yesterday"},
    "a user of no kind": {"userId": "me"},
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_event_that_cannot_be_read_stops_neither_the_rollups_nor_the_recount(
    odd: str,
) -> None:
    await clear()
    row = {name: value for name, value in {**event(2), **ODD[odd]}.items() if value is not ...}
    await insert([event(1), row, event(3)])
    assert await advance(NOTHING) == 3
    (day,) = await CountDay.raw().find({"appId": "notes", "eventName": NAMES[0][0]}).to_list()
    assert sum(memoryview(day["counts"]).cast("I")) == (3 if odd == "a user of no kind" else 2)
    days = await days_touched(now() - timedelta(hours=1))
    assert ("notes", NUMBER) in days
    assert [(await recount_day(app_id, number)).mended for app_id, number in days] == [{}] * len(
        days
    )


async def test_a_session_is_counted_from_all_its_days_in_parts() -> None:
    rows = [event(minutes, sessionId="night") for minutes in (-30, -20, 10, 20, 1500)]
    rows += [event(minutes, sessionId="day") for minutes in (100, 900)]
    await rolled_up(rows)
    await VisitSession.raw().update_many({}, {"$inc": {"events": 7}})
    await recount_day("notes", NUMBER, 1)
    rows = await VisitSession.raw().find({}).sort("_id", 1).to_list()
    assert [(row["_id"], row["events"]) for row in rows] == [("notes/day", 2), ("notes/night", 5)]
    assert await differences(DAY, ["UTC"]) == []


async def test_many_sessions_are_looked_at_in_batches() -> None:
    await rolled_up([event(5, who=None, sessionId=f"s-{number}") for number in range(1100)])
    await VisitSession.raw().delete_one({"_id": "notes/s-1"})
    await VisitSession.raw().update_one({"_id": "notes/s-2"}, {"$set": {"events": 9}})
    found = await recount_day("notes", NUMBER)
    assert found.mended == {"analyticssessions": 2, "sessiondays": 1}
    assert await VisitSession.raw().count_documents({"events": 1}) == 1100
    assert await differences(DAY, ["UTC"]) == []
