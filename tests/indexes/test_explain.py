"""Every operation of every document is explained: none scans a collection, none sorts documents in memory."""

import importlib
import inspect
import pkgutil
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

import models
from app.database import bind, connect, transaction
from app.settings import Settings
from indexes import sync
from indexes.definitions import INDEXES
from models import (
    DOCUMENTS,
    Activity,
    Analytics,
    ApiKey,
    App,
    AppData,
    AuditEvent,
    AuthIdentity,
    Deletion,
    Deployment,
    Migration,
    Preferences,
    Profile,
    RefreshToken,
    User,
)
from models.activity import ActivityContent
from models.analytics import AnalyticsContent
from models.app_data_updates import Expiry
from models.base import Raw, Stored
from models.deletion import Stage
from models.owned import OneToOne, OwnedByUser, populate
from models.precondition import Expected
from models.user import UserContent
from tests.explain import ALLOWED, QueryRecorder, offences
from tests.filled import NOW, USERS, event, fill
from tests.indexes.analytics_operations import ANALYTICS_OPERATIONS
from tests.indexes.card_operations import CARD_OPERATIONS
from tests.indexes.function_operations import FUNCTIONS
from tests.indexes.link_operations import LINK_OPERATIONS
from tests.indexes.query_operations import QUERY_OPERATIONS
from tests.indexes.scan_operations import SCAN_OPERATIONS
from tests.indexes.sign_in_operations import SIGN_IN_OPERATIONS

ME, APP = USERS[7], "app1"
AGO = NOW - timedelta(days=20)

Operation = Callable[[], Awaitable[Any]]


def content(**fields: Any) -> ActivityContent:
    return ActivityContent(app_id=APP, event_type="login", **fields)


def put(key: str, expected: Expected | None = None, **options: Any) -> Operation:
    return lambda: AppData.put(ME, APP, key, {"a": 1}, size=7, by="test", expected=expected, **options)


async def page(**options: Any) -> list[Activity]:
    """Two pages, the second by the cursor of the first."""
    first = await Activity.find_by_user_id(ME, 5, **options)
    return await Activity.find_by_user_id(ME, 5, after=(first[-1].timestamp, ObjectId(first[-1].id)), **options)


async def delete_own_key() -> None:
    await AppData.put(ME, APP, "gone", 1, size=1, by="test")
    await AppData.delete(ME, APP, "gone", by="test", expected=Expected(versions=(1,)))
    await AppData.put(ME, APP, "gone", 1, size=1, by="test")
    await AppData.delete(ME, APP, "gone", by="test")


async def log_in() -> None:
    user = User(id=ME)
    await user.update_last_login()

    async def together(session: Any) -> None:
        await user.update_last_login(session=session)
        await Activity.create_activity(ME, content(), session=session)

    await transaction(together)


async def populate_each() -> None:
    children: list[OwnedByUser] = [*await Activity.find_by_user_id(ME, 3), await Profile.find_or_create_profile(ME)]
    await populate(children)
    await children[0].populate()


def counts(count: Callable[..., Awaitable[Any]]) -> list[Operation]:
    narrow: list[Raw] = [{}, {"user_id": ME}, {"appId": APP}, {"eventName": "event1"}, {"eventCategory": "error"}]
    return [lambda equal=equal: count(AGO, NOW, **equal) for equal in narrow]  # type: ignore[misc]


OPERATIONS: dict[str, list[Operation]] = {
    **ANALYTICS_OPERATIONS,
    **CARD_OPERATIONS,
    "Stored.add": [lambda: Activity(user_id=ME, app_id=APP, event_type="x").add()],
    "Stored.change": [
        lambda: User.change({"_id": ME}, {"name": "Ann"}),
        lambda: User.change({"_id": ME}, {"name": None}, expected=1),
        lambda: Profile.change({"userId": ME}, {"bio": "b"}, expected=1),
        lambda: Preferences.change({"userId": ME}, {"theme": "dark"}),
    ],
    "OwnedByUser.populate": [populate_each],
    "User.create_user": [lambda: User.create_user(UserContent(email="new@example.com"))],
    "User.is_claimed": [lambda: User.is_claimed(ME, "user3@example.com")],
    "User.find_by_email": [lambda: User.find_by_email("USER3@example.com")],
    "User.find_by_ids": [lambda: User.find_by_ids(USERS[:3])],
    "User.standing_of": [lambda: User.standing_of(USERS[:3])],
    "User.update_last_login": [log_in],
    "OneToOne.find_by_user_id": [lambda: Profile.find_by_user_id(ME), lambda: Preferences.find_by_user_id(ME)],
    "OneToOne.find_or_create": [lambda: Profile.find_or_create(ME), lambda: Preferences.find_or_create(ME)],
    "Profile.find_or_create_profile": [lambda: Profile.find_or_create_profile(ObjectId())],
    "Preferences.find_or_create_preferences": [lambda: Preferences.find_or_create_preferences(ObjectId())],
    "Activity.create_activity": [lambda: Activity.create_activity(ME, content())],
    "Activity.find_by_user_id": [
        page,
        lambda: page(start=AGO),
        lambda: page(start=AGO, end=NOW),
        lambda: page(where={"appId": "app0"}),
        lambda: page(where={"eventType": "type2"}, end=NOW),
        lambda: page(where={"sessionId": "session7"}),
        lambda: page(where={"appId": "app0", "eventType": "type2"}),
        lambda: page(where={"appId": APP, "sessionId": "session7"}),
    ],
    "Activity.get_recent_activity": [lambda: Activity.get_recent_activity(ME, 24)],
    "App.find_histories": [lambda: App.find_histories([APP])],
    "AppData.find_by_user_app_and_key": [lambda: AppData.find_by_user_app_and_key(ME, APP, "key00007")],
    "AppData.find_id": [lambda: AppData.find_id(ME, APP, "key00007")],
    "AppData.find_envelope": [lambda: AppData.find_envelope(ME, APP, "key00007")],
    "AppData.page_by_user_and_app": [lambda: AppData.page_by_user_and_app(ME, APP, limit=5, most_bytes=1)],
    "AppData.find_by_user_and_app": [
        lambda: AppData.find_by_user_and_app(ME, APP, limit=5),
        lambda: AppData.find_by_user_and_app(ME, APP, prefix="key0", after="key00500", fields=("updatedAt",)),
    ],
    "AppData.put": [
        put("fresh", Expected(absent=True), expires_at=NOW + timedelta(days=1)),
        put("fresh"),
        put("fresh", Expected(), expires_at=Expiry.KEEP),
        put("fresh", Expected(versions=(3,))),
        put("fresh", Expected(versions=(4, 9))),
    ],
    "AppData.delete": [delete_own_key],
    "AppData.next_expiry": [AppData.next_expiry],
    "AppData.expire_due": [lambda: AppData.expire_due(20)],
    "AppData.version_stats": [AppData.version_stats],
    "Analytics.create_analytics": [
        lambda: Analytics.create_analytics(
            AnalyticsContent(app_id=APP, event_name="login", event_category="engagement"), ME
        )
    ],
    "Analytics.insert_row": [lambda: Analytics.insert_row(event(1))],
    "Analytics.insert_rows": [
        lambda: Analytics.insert_rows([{**event(1), "_id": ObjectId(), "messageId": str(ObjectId())}])
    ],
    "Analytics.without_stored": [lambda: Analytics.without_stored([event(1), event(3)])],
    "Analytics.get_event_counts": counts(Analytics.get_event_counts),
    "Analytics.get_category_counts": counts(Analytics.get_category_counts),
    "ApiKey.find_by_secret": [lambda: ApiKey.find_by_secret("sk_x")],
    "ApiKey.held_among": [lambda: ApiKey.held_among([ME])],
    "ApiKey.rotate": [lambda: ApiKey.rotate(ME, timedelta(hours=1))],
    "ApiKey.note_use": [lambda: ApiKey(id=ME, name="x", scopes=["admin"], hash="h").note_use()],
    "ApiKey.forget_previous": [lambda: ApiKey.forget_previous(AGO)],
    "AuthIdentity.find_by_provider": [lambda: AuthIdentity.find_by_provider("google", "g-1")],
    "AuthIdentity.of_user": [lambda: AuthIdentity.of_user(ME)],
    "AuthIdentity.methods_of": [lambda: AuthIdentity.methods_of(ME)],
    "RefreshToken.rotate": [lambda: RefreshToken.rotate(ME, 1, "a", "b", timedelta(days=1))],
    "RefreshToken.find_living": [
        lambda: RefreshToken.find_living(ME),
        lambda: RefreshToken.find_living(ME, user_id=ME),
    ],
    "RefreshToken.living_among": [lambda: RefreshToken.living_among([ME])],
    "RefreshToken.of_user": [lambda: RefreshToken.of_user(ME)],
    "RefreshToken.end": [lambda: RefreshToken.end(ME, ME)],
    "RefreshToken.end_others": [lambda: RefreshToken.end_others(ME, None), lambda: RefreshToken.end_others(ME, ME)],
    "RefreshToken.remove_expired": [lambda: RefreshToken.remove_expired(AGO)],
    **SIGN_IN_OPERATIONS,
    "AuditEvent.record": [lambda: AuditEvent.record("grant", "key:x")],
    "Deletion.find_due": [lambda: Deletion.find_due(NOW, 10)],
    "Deletion.find_pending": [lambda: Deletion.find_pending(ME, Stage.CASCADE, 10)],
    "Deletion.move_on": [lambda: Deletion.move_on([ME], Stage.RELEASE, Stage.DONE)],
    "Deletion.begin_again": [lambda: Deletion.begin_again(ME)],
    "Deletion.has_unsettled": [lambda: Deletion.has_unsettled(ME)],
    "Deletion.enter": [lambda: Deletion.enter([Deletion(id=ObjectId(), root="users", by="x", at=NOW)], session=None)],
    **SCAN_OPERATIONS,
    "Deployment.epoch": [Deployment.epoch],
    "Migration.find_applied": [Migration.find_applied],
    "Migration.note": [lambda: Migration.note("0001", 1)],
}
OPERATIONS |= LINK_OPERATIONS | QUERY_OPERATIONS
"""Every asynchronous operation of the documents, by the class that defines it, with each way in which it is called."""


Recorded = tuple[AsyncDatabase[Raw], QueryRecorder]


@asynccontextmanager
async def recording(settings: Settings, uri: str) -> AsyncIterator[Recorded]:
    """The database through a client of its own, to which the documents are bound, and what that client sends."""
    recorder = QueryRecorder()
    async with connect(settings, uri, bounded=False, listeners=[recorder]) as client:
        yield await bind(client, settings), recorder


@pytest.fixture(scope="module")
async def filled(mongodb_uri: str, base_settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a database with every index and many documents."""
    own = base_settings.model_copy(update={"database": f"explain_{secrets.token_hex(4)}"})
    async with recording(own, mongodb_uri) as (database, _):
        await sync.apply(database, await sync.plan(database))
        await fill(database)
        yield own
        await database.client.drop_database(database.name)


@pytest.fixture(scope="module")
async def everything(mongodb_uri: str, filled: Settings) -> AsyncIterator[Recorded]:
    """The filled database, and all that the documents' operations send."""
    async with recording(filled, mongodb_uri) as (database, recorder):
        for ways in [*OPERATIONS.values(), *FUNCTIONS.values()]:
            for operation in ways:
                await operation()
        for document, table in INDEXES.items():
            for index in table:
                if index.options.get("unique"):
                    await sync.find_duplicates(database, document.collection_name(), index)
        yield database, recorder


@pytest.fixture
async def recorded(mongodb_uri: str, filled: Settings) -> AsyncIterator[Recorded]:
    """The filled database, and a recorder of what the test sends."""
    async with recording(filled, mongodb_uri) as found:
        yield found


def test_every_function_beside_app_data_is_listed() -> None:
    modules = [info.name for info in pkgutil.iter_modules(models.__path__) if info.name.startswith("app_data_")]
    found = {
        f"{name}.{function}"
        for name in modules
        for function, value in vars(importlib.import_module(f"models.{name}")).items()
        if (inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value))
        and value.__module__ == f"models.{name}"
        and not function.startswith("_")
    }
    assert found == FUNCTIONS.keys()


def test_every_operation_of_every_document_is_listed() -> None:
    classes: set[type[Stored]] = {Stored, OwnedByUser, OneToOne, *DOCUMENTS}
    defined = {
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, member in vars(cls).items()
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(member, "__func__", member))
    }
    assert defined == OPERATIONS.keys()


async def test_no_operation_scans_a_collection_or_sorts_in_memory(everything: Recorded) -> None:
    database, recorder = everything
    assert await offences(database, recorder) == []
    assert len(recorder.commands) > len(OPERATIONS)


async def test_every_allowed_offence_still_occurs(everything: Recorded) -> None:
    database, recorder = everything
    assert set(await offences(database, recorder, allowed={})) == ALLOWED.keys()


async def test_lean_indexes_serve_every_operation_as_well(everything: Recorded) -> None:
    database, recorder = everything
    await sync.apply(database, await sync.plan(database, lean=True), prune=True)
    try:
        assert await offences(database, recorder) == []
    finally:
        await sync.apply(database, await sync.plan(database))


# The checker itself

SESSION = {"sessionId": "session1"}
GROUP = {"$group": {"_id": "$appId", "count": {"$sum": 1}}}
LOOKUP = {"from": "users", "localField": "userId", "as": "user"}


async def aggregate(database: AsyncDatabase[Raw], *pipeline: Raw) -> None:
    await (await database.activities.aggregate(list(pipeline))).to_list()


@pytest.mark.parametrize(
    ("send", "told"),
    [
        (lambda db: db.users.find_one({"name": "Ann"}), "users: COLLSCAN: find {name: ?}"),
        (lambda db: db.users.find().to_list(), "users: COLLSCAN: find {}"),
        (lambda db: db.users.count_documents({"name": "x"}), "users: COLLSCAN: aggregate [$match {name: ?}, $group]"),
        (lambda db: db.users.distinct("name"), "users: COLLSCAN: distinct"),
        (lambda db: db.users.update_many({"name": "x"}, {"$set": {"a": 1}}), "users: COLLSCAN: update {name: ?}"),
        (lambda db: db.users.delete_one({"name": "x"}), "users: COLLSCAN: delete {name: ?}"),
        (
            lambda db: db.users.find_one_and_update({"name": "x"}, {"$set": {"a": 1}}),
            "users: COLLSCAN: findAndModify {name: ?}",
        ),
        (
            lambda db: db.activities.find({"userId": ME}).sort("createdAt", 1).limit(5).to_list(),
            "activities: SORT: find {userId: ?} sort {createdAt: 1}",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$sort": {"createdAt": 1}}, {"$limit": 5}),
            "activities: SORT: aggregate [$match {sessionId: ?}, $sort {createdAt: 1}, $limit]",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$sort": {"createdAt": 1}}, GROUP),
            "activities: SORT: aggregate [$match {sessionId: ?}, $sort {createdAt: 1}, $group]",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$facet": {"a": [{"$sort": {"createdAt": 1}}]}}),
            "activities: SORT: aggregate [$match {sessionId: ?}, $facet]",
        ),
        (
            lambda db: db.users.find({"name": "x"}).sort("_id", 1).limit(5).to_list(),
            "users: IXSCAN of all of _id_: find {name: ?} sort {_id: 1}",
        ),
        (
            lambda db: db.users.find({}).sort("_id", 1).to_list(),
            "users: IXSCAN of all of _id_: find {} sort {_id: 1}",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$lookup": {**LOOKUP, "foreignField": "name"}}),
            "users: COLLSCAN: aggregate [$match {name: ?}]",
        ),
        (
            lambda db: aggregate(db, {"$match": SESSION}, {"$unionWith": "profiles"}),
            "profiles: COLLSCAN: aggregate []",
        ),
    ],
)
async def test_the_checker_tells_of(recorded: Recorded, send: Callable[[Any], Awaitable[Any]], told: str) -> None:
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
        lambda db: aggregate(db, {"$match": SESSION}, {"$facet": {"a": [GROUP, {"$sort": {"count": -1}}]}}),
        lambda db: aggregate(db, {"$match": SESSION}, {"$lookup": {**LOOKUP, "foreignField": "_id"}}),
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
        lambda db: db.nothing.find_one({"name": "x"}),
    ],
)
async def test_the_checker_has_nothing_against(recorded: Recorded, send: Callable[[Any], Awaitable[Any]]) -> None:
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
        await aggregate(database, {"$match": SESSION}, {"$lookup": {**LOOKUP, "from": source, "foreignField": "_id"}})
        await aggregate(database, {"$match": SESSION}, {"$unionWith": source})
    for field in ("email", "name"):
        await database.users.distinct(field, {"email": "x"})
    assert len(recorder.commands) == 8


async def test_one_command_of_each_shape_is_kept(recorded: Recorded) -> None:
    database, recorder = recorded
    for number in range(5):
        await database.users.find_one({"email": f"user{number}@example.com"})
        await database.users.update_one({"_id": USERS[number]}, {"$set": {f"field{number}": number}})
    await database.users.find({}, {"_id": 1}).sort("_id", 1).batch_size(2).limit(9).to_list()
    await database.users.insert_one({"at": datetime.now(UTC)})
    assert [next(iter(command)) for command in recorder.commands.values()] == ["find", "update", "find"]


async def test_commands_of_transactions_are_explained_too(
    recorded: Recorded,
) -> None:
    database, recorder = recorded
    await transaction(lambda session: database.users.find_one({"name": secrets.token_hex()}, session=session))
    assert await offences(database, recorder) == ["users: COLLSCAN: find {name: ?}"]
