"""Fills a Satchel with the demo's world: by the API what it takes, by bulk writes what it has no
batch for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
import pymongo
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from models.activity import Activity
from models.analytics import Analytics
from models.app_data import AppData
from models.base import Raw, rfc3339
from models.user import User
from scripts.demo.api import Api, DemoError
from scripts.demo.catalogue import APPS
from scripts.demo.people import Keeping, Person, keepings, person, preferences, profile
from scripts.demo.visits import History, history, ids, stranger

EVENTS_AT_ONCE: Final = 500
ACTIVITIES_AT_ONCE: Final = 1000
AT_WORK: Final = 12
_DUPLICATE_KEY: Final = 11000
_LEASE_SECONDS: Final = 5
_CREATE: Final = {"If-None-Match": "*"}

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is to be: people with an account, days that they have been at it, and the seed
    of it all."""

    users: int
    days: int
    seed: int
    until: datetime

    @property
    def strangers(self) -> int:
        """People without an account, for every second one who has one."""
        return self.users // 2

    @property
    def marker(self) -> str:
        """`messageId` of the last event of all: where it is stored, everything is."""
        return f"demo-{self.seed}-filled-{self.users}"


@dataclass(slots=True)
class Filler:
    """One run.

    Args:
        api: called with an admin key.
        plan: how much there is to be.
        progress: told `(what, how many more)` whenever something is stored: `people`, `strangers`,
            `values`, `events`, `activities`.
    """

    api: Api
    plan: Plan
    progress: Progress
    _events: list[Raw] = field(default_factory=list)
    _activities: list[Raw] = field(default_factory=list)
    _moments: list[UpdateOne] = field(default_factory=list)

    async def check(self) -> None:
        """See that a Satchel answers and takes the key, before anything is stored.

        Raises:
            DemoError: it does not.
        """
        await self.api.call("GET", "/v1/users", params={"limit": "1"})

    async def is_filled(self) -> bool:
        """Whether a run of this size has come to its end already."""
        query = {"appId": APPS[0].id, "messageId": self.plan.marker}
        return await Analytics.raw().find_one(query, {"_id": 1}) is not None

    async def fill(self) -> None:
        """Store everything that is not stored yet.

        Raises:
            DemoError: the API refuses something, or does not answer.
        """
        for app in APPS:
            content = {"name": app.name, "requireVersion": app.require_version}
            await self.api.call("PUT", f"/v1/apps/{app.id}", content, _CREATE, known=(412,))
        await _at_once(self._person, self.plan.users)
        await _at_once(self._stranger, self.plan.strangers)
        await self._send_events()
        await self._store_activities()
        await self._mark()

    async def _person(self, number: int) -> None:
        who = person(self.plan.seed, number, self.plan.days)
        user_id, new = await self._user(who)
        path = f"/v1/users/{user_id}"
        for name, content in (("profile", profile(who)), ("preferences", preferences(who))):
            if content is not None:
                await self.api.call(
                    "PUT", f"{path}/{name}", content, {"If-Match": '"1"'}, known=(412,)
                )
        stored = set() if new else await _keys_of(user_id)
        for keeping in keepings(who):
            if (keeping.app_id, keeping.key) not in stored:
                await self._keep(path, keeping)
        told = history(who, self.plan.days, self.plan.until)
        await self._note(user_id, who, told)
        self.progress("people", 1)

    async def _stranger(self, number: int) -> None:
        told = stranger(self.plan.seed, number, self.plan.days, self.plan.until)
        await self._add_events(told.events)
        self.progress("strangers", 1)

    async def _user(self, who: Person) -> tuple[ObjectId, bool]:
        """The person's id, and whether they were created just now."""
        answer = await self.api.call("POST", "/v1/users", who.user, known=(409,))
        if answer.status_code != httpx2.codes.CONFLICT:
            return ObjectId(answer.json()["id"]), True
        found = await self.api.call("GET", "/v1/users", params={"email": who.email})
        return ObjectId(found.json()["items"][0]["id"]), False

    async def _keep(self, path: str, keeping: Keeping) -> None:
        """Store one value version by version, each for the one before."""
        address = f"{path}/apps/{keeping.app_id}/data/{keeping.key}"
        condition = _CREATE
        for value in keeping.versions:
            answer = await self.api.call("PUT", address, value, condition, known=(412,))
            if answer.status_code == httpx2.codes.PRECONDITION_FAILED:
                return
            condition = {"If-Match": answer.headers["ETag"]}
        if keeping.deleted:
            await self.api.call("DELETE", address, headers=condition, known=(404, 412))
        self.progress("values", 1)

    async def _note(self, user_id: ObjectId, who: Person, told: History) -> None:
        self._moments.append(_moments(user_id, who, told, self.plan))
        # The models' own row shape; the ids are those of the run before, if there was one.
        for activity_id, (app, kind, data, session, moment) in zip(
            ids(who), told.activities, strict=False
        ):
            activity = Activity(
                user_id=user_id,
                app_id=app,
                event_type=kind,
                event_data=data,
                session_id=session,
                timestamp=moment,
            )
            row = activity.stored() | {
                "_id": ObjectId(activity_id),
                "createdAt": moment,
                "updatedAt": moment,
            }
            self._activities.append(row)
        if len(self._activities) >= ACTIVITIES_AT_ONCE:
            await self._store_activities()
        for event in told.events:
            event["userId"] = str(user_id)
        await self._add_events(told.events)

    async def _add_events(self, events: list[Raw]) -> None:
        self._events += events
        while len(self._events) >= EVENTS_AT_ONCE:
            await self._send_events()

    async def _send_events(self) -> None:
        batch, self._events = self._events[:EVENTS_AT_ONCE], self._events[EVENTS_AT_ONCE:]
        if batch:
            await self.api.call("POST", "/v1/analytics/events", batch)
            self.progress("events", len(batch))

    async def _store_activities(self) -> None:
        """Store what has gathered, by the rule of hot inserts: users are seen to exist, and 5 s
        bound what follows."""
        rows, self._activities = self._activities, []
        moments, self._moments = self._moments, []
        with pymongo.timeout(_LEASE_SECONDS):
            there = await _existing({row["userId"] for row in rows})
            await _insert_new(Activity.raw(), [row for row in rows if row["userId"] in there])
        if rows and not there:
            raise DemoError(
                "The database of this data folder is not that of the server: are URL and folder a"
                " pair?"
            )
        if moments:
            await User.raw().bulk_write(moments, ordered=False)
        self.progress("activities", len(rows))

    async def _mark(self) -> None:
        event = {
            "appId": APPS[0].id,
            "eventName": "demo_filled",
            "eventCategory": "custom",
            "eventData": {"users": self.plan.users, "days": self.plan.days, "seed": self.plan.seed},
            "messageId": self.plan.marker,
            "timestamp": rfc3339(self.plan.until),
        }
        await self.api.call("POST", "/v1/analytics/events", event)


async def _at_once(work: Callable[[int], Awaitable[None]], count: int) -> None:
    """Do the work for each number, a few at a time. The first failure ends them all, and is
    raised."""
    free = asyncio.Semaphore(AT_WORK)

    async def do(number: int) -> None:
        try:
            await work(number)
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await free.acquire()
                group.create_task(do(number))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _keys_of(user_id: ObjectId) -> set[tuple[str, str]]:
    """App and key of everything that was ever kept for a user, tombstones among it."""
    rows = AppData.raw().find({"userId": user_id}, {"_id": 0, "appId": 1, "dataKey": 1})
    return {(row["appId"], row["dataKey"]) async for row in rows}


async def _existing(user_ids: set[ObjectId]) -> set[ObjectId]:
    users = User.raw().with_options(read_concern=ReadConcern("local"))
    return {row["_id"] async for row in users.find({"_id": {"$in": list(user_ids)}}, {"_id": 1})}


async def _insert_new(collection: Any, rows: list[Raw]) -> None:
    """Insert rows, leaving out those whose id is stored already."""
    if not rows:
        return
    try:
        await collection.insert_many(rows, ordered=False)
    except BulkWriteError as error:
        failures = (error.details or {}).get("writeErrors", [])
        if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
            raise


def _moments(user_id: ObjectId, who: Person, told: History, plan: Plan) -> UpdateOne:
    """When the person joined and was last seen, which the API takes to be now. Neither moves the
    version."""
    joined = plan.until - timedelta(days=who.joined)
    moments = [moment for *_, moment in told.activities]
    update: Raw = {
        "$min": {"createdAt": min([joined, *moments]), "updatedAt": max([joined, *moments])}
    }
    if moments:
        update["$max"] = {"lastLogin": max(moments)}
    return UpdateOne({"_id": user_id}, update)
