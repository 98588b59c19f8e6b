"""Rollups that were damaged outside of Satchel: queries go on without them, the worker rolls up all
the same, a check names them, and a recount puts them right."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.analytics.query.periods import Period
from app.analytics.query.queries import active_users, count_events, top_values
from app.analytics.query.reader import Filter
from app.analytics.query.visits import sessions
from app.analytics.rollup.advance import advance
from app.analytics.rollup.recount import recount_day
from app.relations.unreadable import check_rows
from models.aside import SET_ASIDE
from models.base import Raw, Stored, now
from models.checked import are_counts, are_slots
from models.day import CountDay, PeopleDay, PropertyDay, PropertyValue, SessionDay
from models.session import VisitSession
from tests.app.analytics.histories import DAY, NAMES, NOTHING, clear, insert, row_of
from tests.app.analytics.truth import differences
from tests.factories.damage import DAMAGE, damaged, places

pytestmark = pytest.mark.usefixtures("database")
NUMBER = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days
TOLD: Raw = {"app": "notes", "name": NAMES[0], "message": None}
ROLLUPS: list[type[Stored]] = [
    CountDay,
    PeopleDay,
    PropertyDay,
    PropertyValue,
    SessionDay,
    VisitSession,
]
WHOLE = Period.of(DAY - timedelta(days=2), DAY + timedelta(days=3), "day", UTC)


def event(minutes: int, plan: str = "team") -> Raw:
    told = {**TOLD, "who": minutes % 4, "minutes": minutes, "session": f"s{minutes % 3}"}
    return row_of({**told, "plan": plan}, now() - timedelta(seconds=1))


async def rolled_up() -> None:
    await clear()
    await insert([event(minutes, f"plan {minutes}") for minutes in range(0, 1440, 100)])
    await advance(NOTHING)


async def everything_is_asked() -> None:
    """Each query that reads rollups; none of them fails."""
    for rolling in (False, True):
        await active_users(WHOLE, Filter("notes"), rolling=rolling)
    await count_events(WHOLE, Filter("notes"), "eventName", previous=True)
    await sessions(WHOLE, Filter("notes"), previous=True)
    for name in (None, "plan"):
        await top_values(WHOLE, Filter("notes"), name, 10)


def aside() -> float:
    return sum(SET_ASIDE.labels(each.collection_name())._value.get() for each in ROLLUPS)


@pytest.mark.parametrize("document", ROLLUPS)
async def test_whatever_is_amiss_is_stepped_over_named_and_put_right(
    document: type[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.analytics.rollup.property_values.MOST_LISTED", 8)
    await rolled_up()
    rows = await document.raw().find({}).to_list()
    assert rows
    turn = random.Random(document.collection_name())
    row = rows[0]
    for path in places(row):
        for kind in turn.sample(sorted(DAMAGE), 3):
            bad = damaged(row, path, kind)
            if bad is None or path[0] in ("createdAt", "updatedAt", "version"):
                continue
            await document.raw().replace_one({"_id": row["_id"]}, bad)
            await everything_is_asked()
    assert aside() > 0
    await recount_day("notes", NUMBER)
    assert await differences(DAY, ["UTC"]) == []
    assert (await recount_day("notes", NUMBER)).mended == {}


@pytest.mark.parametrize("document", ROLLUPS)
async def test_the_worker_goes_on_where_a_row_cannot_be_counted_with(
    document: type[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.analytics.rollup.property_values.MOST_LISTED", 8)
    await rolled_up()
    field = {
        "countdays": "counts",
        "peopledays": "sets",
        "propertydays": "totals",
        "propertyvalues": "slots",
        "sessiondays": "duration",
        "analyticssessions": "end",
    }[document.collection_name()]
    await document.raw().update_many({}, {"$set": {field: b"\x01"}})
    scans = {scan.id: scan for scan in await check_rows()}
    told = scans[document.collection_name()]
    assert told.unreadable == told.scanned > 0
    assert told.samples[0]["kind"] == "unreadable"
    await insert([event(minutes, f"plan {minutes % 7}") for minutes in range(5, 1440, 100)])
    await advance(NOTHING)
    await everything_is_asked()
    await recount_day("notes", NUMBER)
    assert await differences(DAY, ["UTC"]) == []


@pytest.mark.parametrize("bad", [b"\x60\x01", b"\x01", b"\x01\x80", b"\x01" + b"\xff" * 20, "x", 1])
def test_slots_that_count_nothing_are_seen(bad: Any) -> None:
    assert not are_slots(bad)
    assert are_slots(b"") and are_slots(b"\x01\x05") and are_slots(b"\x5f\xff\x01\x02\x03")


def test_counts_that_are_too_large_are_seen() -> None:
    for number, is_fine in ((0, True), (2**53 - 1, True), (2**53, False), (2**64 - 1, False)):
        assert are_counts(number.to_bytes(8, "little")) is is_fine
    assert are_counts(b"") and not are_counts(b"1234567") and not are_counts(None)
