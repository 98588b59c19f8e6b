"""A database with some thousand documents, so that the planner of a query has a choice."""

from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from models import Card, CardEvent, CardQueue, Preferences, Profile, SpendingProfile, User
from models.base import Raw, now
from tests.filled_links import fill_links

USERS = [ObjectId() for _ in range(25)]
NOW = now()


def moment(number: int) -> datetime:
    return NOW - timedelta(minutes=37 * number % 60_000)


def activity(number: int) -> Raw:
    row = {
        "userId": USERS[number % 25],
        "appId": f"app{number % 3}",
        "eventType": f"type{number % 5}",
    }
    session = {"sessionId": f"session{number % 40}"} if number % 3 else {}
    return {
        **row,
        **session,
        "eventData": {},
        "timestamp": moment(number),
        "createdAt": NOW,
        "updatedAt": NOW,
    }


def event(number: int) -> Raw:
    category = ("engagement", "conversion", "error", "custom")[number % 4]
    row = {
        "userId": USERS[number % 25],
        "appId": f"app{number % 3}",
        "eventName": f"event{number % 9}",
    }
    return {
        **row,
        "eventCategory": category,
        "timestamp": moment(number),
        "messageId": f"message{number}",
    }


def value(number: int) -> Raw:
    key = {"userId": USERS[number % 25], "appId": f"app{number % 3}", "dataKey": f"key{number:05}"}
    deleted = number % 4 == 0
    times: Raw = {"createdAt": NOW, "updatedAt": NOW}
    if number % 10 == 1:
        times["expiresAt"] = NOW + timedelta(minutes=number - 2000)
    return {
        **key,
        "version": 1,
        "deleted": deleted,
        "escaped": False,
        "value": number,
        "bytes": 4,
        **times,
    }


async def fill_cards(database: AsyncDatabase[Raw]) -> None:
    """Some thousand cards of a few accounts, with their events."""
    accounts = [ObjectId() for _ in range(7)]
    profiles = [
        SpendingProfile(id=ObjectId(), account_id=accounts[n % 7], name=f"p{n}") for n in range(70)
    ]
    await database.spendingprofiles.insert_many([profile.stored() for profile in profiles])
    cards = [
        Card(
            id=ObjectId(),
            account_id=accounts[number % 7],
            user_id=USERS[number % 25],
            spending_profile_id=profiles[number % 70].id if number % 3 else None,
            status=("pending", "open", "paused", "closed")[number % 4],
            last_four=f"{number:04}",
        )
        for number in range(3000)
    ]
    await database.cards.insert_many([card.stored() for card in cards])
    queues = [
        CardQueue(
            id=card.id, account_id=card.account_id, due_at=moment(n), last=n % 5, waiting=n % 5
        )
        for n, card in enumerate(cards)
    ]
    await database.cardqueues.insert_many([queue.stored() for queue in queues])
    states = ("waiting", "delivered", "dead", "skipped")
    events = [
        CardEvent(
            account_id=card.account_id,
            subject=card.id,
            sequence=1,
            type="card.updated",
            state=states[n % 4],
        )
        for n, card in enumerate(cards)
    ]
    await database.cardevents.insert_many([event.stored() for event in events])


async def fill(database: AsyncDatabase[Raw]) -> None:
    """Some thousand documents of several users, apps and months, so that the planner has a
    choice."""
    people = [
        User(
            id=user,
            email=f"user{number}@example.com",
            name=f"User {number}",
            valu_user_id=f"v-{number}",
            merkos_user_id=f"m-{number}",
        )
        for number, user in enumerate(USERS)
    ]
    await database.users.insert_many([user.stored() for user in people])
    await database.profiles.insert_many([Profile(user_id=user).stored() for user in USERS])
    await database.preferences.insert_many([Preferences(user_id=user).stored() for user in USERS])
    await database.activities.insert_many([activity(number) for number in range(4000)])
    await database.analytics.insert_many([event(number) for number in range(4000)])
    await database.appdata.insert_many([value(number) for number in range(4000)])
    await fill_cards(database)
    ledger = [
        {"nextSweepAt": moment(number), "root": "users", "by": "test", "at": NOW}
        for number in range(300)
    ]
    await database.deletions.insert_many(ledger)
    await fill_links(database, USERS, NOW)
