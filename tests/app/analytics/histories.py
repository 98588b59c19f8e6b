"""Random histories of events, and a worker that lives them through."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId
from hypothesis import strategies as st
from pymongo.errors import BulkWriteError

from app.analytics.deletion import subtract_events
from app.analytics.query.periods import Period
from app.analytics.query.queries import active_users
from app.analytics.query.reader import Filter
from app.analytics.rollup import advance as rollup
from app.analytics.rollup.advance import advance
from app.analytics.rollup.joins import carry_out_joins, settle_merges
from app.analytics.rollup.recount import days_touched, recount_day
from app.analytics.rollup.recount_slots import PART
from app.analytics.rollup.undo import undo_joins
from app.database import transaction
from models.analytics import Analytics
from models.app import App
from models.base import Raw
from models.day import CountDay, PeopleDay, PropertyDay, PropertyValue, SessionDay
from models.person import IdentityJoin, Person, PersonMerge
from models.rollup_state import RollupState
from models.session import VisitSession
from models.user import User
from tests.app.analytics.truth import CLOCK_CHANGES, KNOWN, ZONES

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


def came(*people: Any) -> tuple[str, list[Raw]]:
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


AT_AS_OF: list[Any] = [came(0, 1), ("advance", (30, 1)), came(0, 1)]
"""Events come in within the very millisecond up to which the rollups are."""

CUT: list[Any] = [
    came(0, 1, 2),
    ("crash", 0),
    came(3),
    ("advance", (2, 1)),
    came(0),
    ("advance", (2, 1)),
]
"""A full window ends within one millisecond, and there is more in the next."""

CHAIN: list[Any] = [
    came("a:1", "e:1", 1),
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
