"""A database with some thousand documents, so that the planner of a query has a choice."""

from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from models import Preferences, Profile, User
from models.base import Raw, now
from tests.filled_links import fill_links

USERS = [ObjectId() for _ in range(25)]
NOW = now()


def moment(number: int) -> datetime:
    return NOW - timedelta(minutes=37 * number % 60_000)


def activity(number: int) -> Raw:
    row = {"userId": USERS[number % 25], "appId": f"app{number % 3}", "eventType": f"type{number % 5}"}
    session = {"sessionId": f"session{number % 40}"} if number % 3 else {}
    return {**row, **session, "eventData": {}, "timestamp": moment(number), "createdAt": NOW, "updatedAt": NOW}


def event(number: int) -> Raw:
    category = ("engagement", "conversion", "error", "custom")[number % 4]
    row = {"userId": USERS[number % 25], "appId": f"app{number % 3}", "eventName": f"event{number % 9}"}
    return {**row, "eventCategory": category, "timestamp": moment(number), "messageId": f"message{number}"}


def value(number: int) -> Raw:
    key = {"userId": USERS[number % 25], "appId": f"app{number % 3}", "dataKey": f"key{number:05}"}
    deleted = number % 4 == 0
    times: Raw = {"createdAt": NOW, "updatedAt": NOW}
    if number % 10 == 1:
        times["expiresAt"] = NOW + timedelta(minutes=number - 2000)
    return {**key, "version": 1, "deleted": deleted, "escaped": False, "value": number, "bytes": 4, **times}


async def fill(database: AsyncDatabase[Raw]) -> None:
    """Some thousand documents of several users, apps and months, so that the planner has a choice."""
    people = [User(id=user, email=f"user{number}@example.com") for number, user in enumerate(USERS)]
    await database.users.insert_many([user.stored() for user in people])
    await database.profiles.insert_many([Profile(user_id=user).stored() for user in USERS])
    await database.preferences.insert_many([Preferences(user_id=user).stored() for user in USERS])
    await database.activities.insert_many([activity(number) for number in range(4000)])
    await database.analytics.insert_many([event(number) for number in range(4000)])
    await database.appdata.insert_many([value(number) for number in range(4000)])
    ledger = [{"nextSweepAt": moment(number), "root": "users", "by": "test", "at": NOW} for number in range(300)]
    await database.deletions.insert_many(ledger)
    await fill_links(database, USERS, NOW)
