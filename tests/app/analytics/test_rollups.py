"""Rollups equal a recount from raw: random histories, late and doubled events, erasures, crashes,
five timezones."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from app.analytics.deletion import subtract_events
from app.analytics.query.periods import Period
from app.analytics.query.queries import active_users
from app.analytics.query.reader import Filter
from app.analytics.rollup import advance as rollup
from app.analytics.rollup import property_values
from app.analytics.rollup.advance import MovedOnError, advance
from app.analytics.rollup.joins import carry_out_joins, settle_merges
from app.analytics.rollup.recount import days_touched, recount_day
from app.analytics.rollup.recount_slots import PART
from app.analytics.rollup.undo import undo_joins
from app.database import transaction
from models.analytics import Analytics
from models.app import App
from models.base import Raw, now
from models.day import CountDay, PeopleDay, PropertyDay, PropertyValue, SessionDay
from models.person import IdentityJoin, Person, PersonMerge
from models.rollup_state import RollupState
from models.session import VisitSession
from models.user import User
from tests.app.analytics.truth import CLOCK_CHANGES, KNOWN, ZONES, differences

DAY = CLOCK_CHANGES[-2]
APPS, NAMES = ("notes", "boats"), (("open", "engagement"), ("open", "custom"), ("fail", "error"))
PEOPLE = [ObjectId() for _ in range(4)]
PLANS: tuple[Any, ...] = ("team", "free", "solo", "trial", True, 7)
NOTHING, DAYS = timedelta(0), timedelta(days=1)

event = st.fixed_dictionaries(
    {
        "app": st.sampled_from(APPS),
        "name": st.sampled_from(NAMES),
        "who": st.one_of(
            st.none(), st.integers(0, 3), st.sampled_from(["e:1", "e:2", "a:1", "a:2"])
        ),
        "session": st.sampled_from([None, "s1", "s2", "s3"]),
        "minutes": st.integers(-60 * 24, 60 * 24 * 2),
        "message": st.sampled_from([None, "m1", "m2", "m3"]),
        "plan": st.sampled_from([None, *PLANS]),
    }
)
coming = st.tuples(st.just("events"), st.lists(event, min_size=1, max_size=12))
advancing = st.tuples(
    st.just("advance"), st.tuples(st.integers(1, 30), st.integers(0, 2))
)  # 0: amid a millisecond
step = st.one_of(
    *(coming, advancing) * 3,  # what else happens matters beside these
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("erase"), st.integers(0, 3)),
    st.tuples(
        st.just("join"), st.tuples(st.sampled_from(["a:1", "a:2", "e:1"]), st.integers(0, 3))
    ),
    st.tuples(
        st.just("link"), st.tuples(st.sampled_from(["a:1", "a:2"]), st.sampled_from("12"))
    ),  # chains of merges
    st.tuples(st.just("undo"), st.sampled_from(["a:1", "a:2", "e:1"])),
    st.tuples(st.just("settle"), st.just(0)),
    st.tuples(st.just("recount"), st.just(0)),
    st.tuples(
        st.just("ask"), st.sampled_from(ZONES)
    ),  # what is asked for is remembered, and may change after
)


def _came(*people: Any) -> tuple[str, list[Raw]]:
    """A step in which an event comes in of each of these people."""
    rest = {
        "app": "notes",
        "name": NAMES[0],
        "session": "s1",
        "minutes": 5,
        "message": None,
        "plan": "team",
    }
    return "events", [{"who": who, **rest} for who in people]


AT_AS_OF: list[Any] = [_came(0, 1), ("advance", (30, 1)), _came(0, 1)]
"""Events come in within the very millisecond up to which the rollups are."""
CUT: list[Any] = [
    _came(0, 1, 2),
    ("crash", 0),
    _came(3),
    ("advance", (2, 1)),
    _came(0),
    ("advance", (2, 1)),
]
"""A full window ends within one millisecond, and there is more in the next."""
CHAIN: list[Any] = [
    _came("a:1", "e:1", 1),
    ("advance", (30, 1)),
    ("ask", "UTC"),
    ("link", ("a:1", "1")),
    ("join", ("e:1", 1)),
]
"""A number becomes another's, which becomes a third one's."""


class Crash(Exception):
    """The worker dies in the middle of its transaction."""


def row_of(told: Raw, received: datetime, around: datetime = DAY) -> Raw:
    name, category = told["name"]
    row: Raw = {
        "_id": ObjectId(),
        "appId": told["app"],
        "eventName": name,
        "eventCategory": category,
        "eventData": {} if told["plan"] is None else {"plan": told["plan"]},
        "timestamp": around + timedelta(minutes=told["minutes"]),
        "receivedAt": received,
    }
    who = told["who"]
    if isinstance(who, int):
        row["userId"] = PEOPLE[who]
    elif who is not None:
        row["externalId" if who[0] == "e" else "anonymousId"] = who[2:]
    if told["session"]:
        row["sessionId"] = told["session"]
    if told["message"]:
        row["messageId"] = told["message"]
    return row


async def insert(rows: list[Raw]) -> None:
    """Store events, each message once."""
    with suppress(BulkWriteError):
        await Analytics.raw().insert_many(rows, ordered=False)


async def erase(user_id: ObjectId) -> None:
    """What the deletion does: root, events with their deletion hook, keys."""

    async def work(session: Any) -> None:
        await User.raw().delete_one({"_id": user_id}, session=session)
        rows = await Analytics.raw().find({"userId": user_id}, session=session).to_list()
        if rows:
            await subtract_events(rows, session)
            await Analytics.raw().delete_many(
                {"_id": {"$in": [row["_id"] for row in rows]}}, session=session
            )
        await Person.raw().delete_many({"userId": user_id}, session=session)
        await IdentityJoin.raw().delete_many({"userId": user_id}, session=session)

    await transaction(work)


class Clock:
    """What the worker takes for the time: it stands still until it is moved, so that moments are
    met exactly."""

    def __init__(self) -> None:
        self.at = DAY + 2 * DAYS

    def __call__(self) -> datetime:
        return self.at

    def move(self, milliseconds: int = 1) -> None:
        self.at += timedelta(milliseconds=milliseconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the worker goes by."""
    clock = Clock()
    monkeypatch.setattr(rollup, "now", clock)
    return clock


async def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(rollup, "add_visits", die)
        try:
            await advance(NOTHING)
        except Crash:
            return


async def join(source: str, fields: Raw) -> None:
    """What an app says of an anonymous or external id, said and carried out."""
    told = {"$setOnInsert": {"appId": "notes", "due": True, **fields}}
    await IdentityJoin.raw().update_one({"_id": f"notes/{source}"}, told, upsert=True)
    await carry_out_joins()


async def undo(source: str) -> None:
    """Take back what was said of an id, once it is carried out."""
    where = {"_id": f"notes/{source}", "state": "joined"}
    await IdentityJoin.raw().update_one(where, {"$set": {"state": "undoing", "due": True}})
    await undo_joins()


async def recount_all(clock: Clock) -> list[dict[str, int]]:
    """Count every day anew: what was mended."""
    days = await days_touched(clock.at - timedelta(hours=1))
    wanted = [(app_id, day, most) for app_id, day in days for most in (1, 5, PART)]
    return [found for each in wanted if (found := (await recount_day(*each)).mended)]


async def play(
    steps: list[Any], around: datetime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, value in steps:
        if kind == "events":
            living = {
                row["_id"] async for row in User.raw().find({"_id": {"$in": PEOPLE}}, {"_id": 1})
            }
            rows = [row_of(told, clock.at, around) for told in value]
            if rows := [row for row in rows if row.get("userId") in (None, *living)]:
                await insert(rows)
        elif kind == "advance":
            window, milliseconds = value
            clock.move(milliseconds)
            await advance(NOTHING, window)
        elif kind == "crash":
            clock.move()
            await crash(monkeypatch)
        elif kind == "erase":
            await erase(PEOPLE[value])
        elif kind == "join":
            source, who = value
            if await User.raw().find_one({"_id": PEOPLE[who]}) is not None:
                await join(source, {"userId": PEOPLE[who]})
        elif kind == "link":
            await join(value[0], {"externalId": value[1]})
        elif kind == "undo":
            await undo(value)
        elif kind == "recount":
            await recount_all(clock)
        elif kind == "ask":
            await active_users(
                Period.of(around - 3 * DAYS, around + 4 * DAYS, "day", ZoneInfo(value)),
                Filter(),
                KNOWN,
            )
        else:
            await settle_merges()


async def clear() -> None:
    documents = (
        Analytics,
        CountDay,
        PeopleDay,
        PropertyDay,
        PropertyValue,
        SessionDay,
        VisitSession,
        Person,
        PersonMerge,
        IdentityJoin,
    )
    for document in (*documents, User, RollupState, App):
        await document.raw().delete_many({})
    await User.raw().insert_many([User(id=each).stored() for each in PEOPLE])  # type: ignore[arg-type]
    await App(id="notes", analytics_properties=["plan"]).add()


@example(steps=AT_AS_OF, around=DAY, zone="UTC", most=2)
@example(steps=[_came(0), ("advance", (30, 0))], around=DAY, zone="UTC", most=2)
@example(
    steps=[*AT_AS_OF, ("advance", (30, 1)), _came(2), ("advance", (30, 1))],
    around=DAY,
    zone="UTC",
    most=2,
)
@example(steps=[*AT_AS_OF, ("erase", 0)], around=DAY, zone="UTC", most=2)
@example(steps=[*AT_AS_OF, ("recount", 0)], around=DAY, zone="UTC", most=2)
@example(steps=CUT, around=DAY, zone="UTC", most=2)
@example(steps=CHAIN, around=DAY, zone="UTC", most=2)
@example(
    steps=[*CHAIN, ("undo", "e:1"), _came("a:1", "e:1", 1), ("advance", (30, 1))],
    around=DAY,
    zone="UTC",
    most=2,
)
@example(
    steps=[*CHAIN, ("settle", 0), ("undo", "a:1"), _came("a:1")], around=DAY, zone="UTC", most=2
)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(step, min_size=3, max_size=14),
    around=st.sampled_from(CLOCK_CHANGES),
    zone=st.sampled_from(ZONES),
    most=st.sampled_from([1, 2, 3, 500]),
)
async def test_rollups_equal_a_recount_whatever_happened(
    database: AsyncDatabase[Raw],
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    steps: list[Any],
    around: datetime,
    zone: str,
    most: int,
) -> None:
    """`most` values of a property are listed on a day, the others kept apart."""
    monkeypatch.setattr(property_values, "MOST_LISTED", most)
    await clear()
    await play(steps, around, clock, monkeypatch)
    assert (
        await differences(around, [zone]) == []
    )  # what is rolled up, and the unrolled events, against all raw events
    clock.move()
    while await advance(NOTHING):
        continue
    await settle_merges()
    assert await differences(around) == []
    assert await recount_all(clock) == []


async def test_a_worker_that_was_overtaken_adds_nothing(
    database: AsyncDatabase[Raw], monkeypatch: Any
) -> None:
    await clear()
    rows = [
        row_of(
            {
                "app": "notes",
                "name": NAMES[0],
                "who": 1,
                "session": None,
                "minutes": 5,
                "message": None,
                "plan": None,
            },
            now(),
        )
        for _ in range(5)
    ]
    await insert(rows)
    await asyncio.sleep(0.002)
    answers = await asyncio.gather(*(advance(NOTHING) for _ in range(5)), return_exceptions=True)
    assert {answer for answer in answers if isinstance(answer, int)} <= {0, 5}
    assert [answer for answer in answers if answer == 5] == [5]
    assert all(isinstance(answer, int | MovedOnError) for answer in answers)
    assert await differences(DAY) == []


async def test_the_recount_heals_a_straggler_and_says_what_it_found(
    database: AsyncDatabase[Raw],
) -> None:
    await clear()
    told = {
        "app": "notes",
        "name": NAMES[0],
        "who": 1,
        "session": "s",
        "minutes": 5,
        "message": None,
        "plan": "team",
    }
    await insert([row_of(told, now())])
    await asyncio.sleep(0.002)
    await advance(NOTHING)
    straggler = row_of(
        told, now() - timedelta(hours=1)
    )  # committed after the rollups had passed it
    await insert([straggler])
    await RollupState.raw().update_one({}, {"$set": {"asOf": now()}})
    found = await recount_day("notes", (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days)
    assert found.events == 2
    assert found.mended == {
        "countdays": 1,
        "propertydays": 1,
        "analyticssessions": 1,
        "sessiondays": 1,
    }
    assert await differences(DAY) == []
    assert (await recount_day("notes", found.day)).mended == {}
