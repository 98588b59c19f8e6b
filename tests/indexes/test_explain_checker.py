"""The checker of explained queries itself: what it tells of, and what it has nothing against."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from app.database import transaction
from models.base import Raw
from tests.explain import offences
from tests.filled import USERS
from tests.indexes.recording import Recorded

ME = USERS[7]
SESSION = {"sessionId": "session1"}
GROUP = {"$group": {"_id": "$appId", "count": {"$sum": 1}}}
LOOKUP = {"from": "users", "localField": "userId", "as": "user"}


async def aggregate(database: AsyncDatabase[Raw], *pipeline: Raw) -> None:
    await (await database.activities.aggregate(list(pipeline))).to_list()


@pytest.mark.parametrize(
    ("send", "told"),
    [
        (lambda db: db.users.find_one({"nick": "Ann"}), "users: COLLSCAN: find {nick: ?}"),
        (lambda db: db.users.find().to_list(), "users: COLLSCAN: find {}"),
        (
            lambda db: db.users.count_documents({"nick": "x"}),
            "users: COLLSCAN: aggregate [$match {nick: ?}, $group]",
        ),
        (lambda db: db.users.distinct("nick"), "users: COLLSCAN: distinct"),
        (
            lambda db: db.users.update_many({"nick": "x"}, {"$set": {"a": 1}}),
            "users: COLLSCAN: update {nick: ?}",
        ),
        (lambda db: db.users.delete_one({"nick": "x"}), "users: COLLSCAN: delete {nick: ?}"),
        (
            lambda db: db.users.find_one_and_update({"nick": "x"}, {"$set": {"a": 1}}),
            "users: COLLSCAN: findAndModify {nick: ?}",
        ),
        (
            lambda db: db.activities.find({"userId": ME}).sort("createdAt", 1).limit(5).to_list(),
            "activities: SORT: find {userId: ?} sort {createdAt: 1}",
        ),
        (
            lambda db: aggregate(
                db, {"$match": SESSION}, {"$sort": {"createdAt": 1}}, {"$limit": 5}
            ),
            "activities: SORT: aggregate [$match {sessionId: ?}, $sort {createdAt: 1}, $limit]",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$sort": {"createdAt": 1}}, GROUP),
            "activities: SORT: aggregate [$match {sessionId: ?}, $sort {createdAt: 1}, $group]",
        ),
        (
            lambda db: aggregate(
                db, {"$match": SESSION}, {"$facet": {"a": [{"$sort": {"createdAt": 1}}]}}
            ),
            "activities: SORT: aggregate [$match {sessionId: ?}, $facet]",
        ),
        (
            lambda db: db.users.find({"nick": "x"}).sort("_id", 1).limit(5).to_list(),
            "users: IXSCAN of all of _id_: find {nick: ?} sort {_id: 1}",
        ),
        (
            lambda db: db.users.find({}).sort("_id", 1).to_list(),
            "users: IXSCAN of all of _id_: find {} sort {_id: 1}",
        ),
        (
            lambda db: aggregate(
                db, {"$match": SESSION}, {"$lookup": {**LOOKUP, "foreignField": "nick"}}
            ),
            "users: COLLSCAN: aggregate [$match {nick: ?}]",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$unionWith": "profiles"}),
            "profiles: COLLSCAN: aggregate []",
        ),
    ],
)
async def test_the_checker_tells_of(
    recorded: Recorded, send: Callable[[Any], Awaitable[Any]], told: str
) -> None:
    database, recorder = recorded
    await send(database)
    assert await offences(database, recorder) == [told]


@pytest.mark.parametrize(
    "send",
    [
        lambda db: db.users.find_one({"_id": ME}),
        lambda db: db.users.find({}).sort("_id", -1).limit(5).to_list(),
        lambda db: db.users.estimated_document_count(),
        lambda db: aggregate(db, {"$match": SESSION}, GROUP, {"$sort": {"count": -1}}),
        lambda db: aggregate(
            db, {"$match": SESSION}, {"$facet": {"a": [GROUP, {"$sort": {"count": -1}}]}}
        ),
        lambda db: aggregate(
            db, {"$match": SESSION}, {"$lookup": {**LOOKUP, "foreignField": "_id"}}
        ),
        lambda db: aggregate(
            db,
            {"$match": SESSION},
            {
                "$lookup": {
                    "from": "profiles",
                    "let": {"owner": "$userId"},
                    "pipeline": [{"$match": {"$expr": {"$eq": ["$userId", "$$owner"]}}}],
                    "as": "profile",
                }
            },
        ),
        lambda db: db.nothing.find_one({"nick": "x"}),
    ],
)
async def test_the_checker_has_nothing_against(
    recorded: Recorded, send: Callable[[Any], Awaitable[Any]]
) -> None:
    database, recorder = recorded
    await send(database)
    assert len(recorder.commands) == 1
    assert await offences(database, recorder) == []


async def test_commands_that_differ_in_names_alone_are_told_apart(
    recorded: Recorded,
) -> None:
    database, recorder = recorded
    await database.users.find_one({"_id": ME})
    await database.apps.find_one({"_id": ME})
    for source in ("users", "profiles"):
        await aggregate(
            database,
            {"$match": SESSION},
            {"$lookup": {**LOOKUP, "from": source, "foreignField": "_id"}},
        )
        await aggregate(database, {"$match": SESSION}, {"$unionWith": source})
    for field in ("email", "nick"):
        await database.users.distinct(field, {"email": "x"})
    assert len(recorder.commands) == 8


async def test_one_command_of_each_shape_is_kept(recorded: Recorded) -> None:
    database, recorder = recorded
    for number in range(5):
        await database.users.find_one({"email": f"user{number}@example.com"})
        await database.users.update_one(
            {"_id": USERS[number]}, {"$set": {f"field{number}": number}}
        )
    await database.users.find({}, {"_id": 1}).sort("_id", 1).batch_size(2).limit(9).to_list()
    await database.users.insert_one({"at": datetime.now(UTC)})
    assert [next(iter(command)) for command in recorder.commands.values()] == [
        "find",
        "update",
        "find",
    ]


async def test_commands_of_transactions_are_explained_too(
    recorded: Recorded,
) -> None:
    database, recorder = recorded
    await transaction(
        lambda session: database.users.find_one({"nick": secrets.token_hex()}, session=session)
    )
    assert await offences(database, recorder) == ["users: COLLSCAN: find {nick: ?}"]
