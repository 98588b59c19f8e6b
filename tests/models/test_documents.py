"""Users, profiles, preferences, activities, events and keys as documents: the required methods, one
collection each."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from beanie import PydanticObjectId
from bson import ObjectId
from pymongo import AsyncMongoClient, monitoring
from pymongo.errors import DuplicateKeyError

from app.database import bind, connect, transaction
from app.settings import Settings
from models.activity import Activity, ActivityContent
from models.analytics import Analytics, AnalyticsContent, DuplicateMessages
from models.base import now
from models.owned import populate
from models.preferences import Preferences
from models.profile import Profile, ProfileContent
from models.user import User, UserContent

pytestmark = pytest.mark.usefixtures("database")


class Finds(monitoring.CommandListener):
    """Keeps the name and the filter of each read."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "getMore", "count"):
            self.seen.append((event.command[event.command_name], event.command.get("filter")))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def a_user(email: str = "ann@example.com") -> User:
    return await User.create_user(UserContent(email=email, name="Ann"))


def ident(document: Any) -> ObjectId:
    assert document.id is not None
    return ObjectId(document.id)


# Users


async def test_a_user_comes_back_as_created() -> None:
    made = await User.create_user(
        UserContent(email=" ANN@example.com", valu_user_id="v", permissions=["x"])
    )
    found = await User.find_by_email("Ann@Example.com ")
    assert found == made
    row = await User.raw().find_one({"_id": made.id})
    assert row is not None
    assert set(row) == {
        *("_id", "email", "valuUserId", "authMethods", "roles", "permissions", "status"),
        *("guard", "version", "createdAt", "updatedAt"),
    }


async def test_a_login_moves_last_login_forward_and_no_version() -> None:
    ann = await a_user()
    await ann.update_last_login()
    first = await User.find_by_email("ann@example.com")
    assert first is not None
    assert (first.last_login, first.version) == (ann.last_login, 1)
    future = now() + timedelta(days=1)
    await User.raw().update_one({}, {"$set": {"lastLogin": future}})
    await first.update_last_login()
    later = await User.find_by_email("ann@example.com")
    assert later is not None
    assert later.last_login == future


async def test_a_login_of_a_user_who_is_gone_is_an_error() -> None:
    ann = await a_user()
    await User.raw().delete_one({"_id": ann.id})
    with pytest.raises(LookupError):
        await ann.update_last_login()
    assert await User.raw().count_documents({}) == 0


async def test_a_change_is_made_on_the_expected_version_only() -> None:
    where = {"_id": (await a_user()).id}
    changed = await User.change(where, {"name": "B", "valuUserId": "v"}, expected=1)
    assert changed is not None
    assert (changed.name, changed.valu_user_id, changed.version) == ("B", "v", 2)
    assert changed.updated_at >= changed.created_at
    assert await User.change(where, {"name": "C"}, expected=1) is None
    emptied = await User.change(where, {"name": None})
    assert emptied is not None
    assert (emptied.name, emptied.valu_user_id, emptied.version) == (None, "v", 3)
    row = await User.raw().find_one(where)
    assert row is not None
    assert "name" not in row


# Profiles and preferences


@pytest.mark.parametrize("kind", ["profile", "preferences"])
async def test_racing_finders_get_the_one_document(kind: str) -> None:
    user_id = ObjectId()
    find: Any = {
        "profile": Profile.find_or_create_profile,
        "preferences": Preferences.find_or_create_preferences,
    }[kind]
    document: Any = {"profile": Profile, "preferences": Preferences}[kind]
    found = await asyncio.gather(*(find(user_id) for _ in range(50)))
    assert len({ident(one) for one in found}) == 1
    assert {(one.user_id, one.version) for one in found} == {(user_id, 1)}
    assert await document.raw().count_documents({"userId": user_id}) == 1
    assert await document.find_by_user_id(user_id) == found[0]
    assert await document.find_by_user_id(ObjectId()) is None


async def test_found_preferences_are_left_as_they_are() -> None:
    user_id = ObjectId()
    await Preferences(user_id=PydanticObjectId(user_id), theme="dark").add()
    assert (await Preferences.find_or_create_preferences(user_id)).theme == "dark"


async def test_metadata_comes_back_as_it_was_stored_large_integers_too() -> None:
    user_id, metadata = (
        ObjectId(),
        {
            "$ref": {"$id": 2**40},
            "b.c": 2**63 - 1,
            "a": -(2**63),
            "f": 1.0,
        },
    )
    await Profile(user_id=PydanticObjectId(user_id), metadata=metadata).add()
    found = await Profile.find_by_user_id(user_id)
    assert found is not None
    assert json.dumps(found.metadata) == json.dumps(metadata)


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1])
def test_metadata_has_16_kib_of_json(size: int) -> None:
    metadata = {"v": "x" * (size - len('{"v":""}'))}
    if size == 16 * 1024:
        assert ProfileContent(metadata=metadata).metadata == metadata
    else:
        with pytest.raises(ValueError, match="16384 are allowed"):
            ProfileContent(metadata=metadata)


# Activity


async def note(user_id: ObjectId, kind: str, **ago: float) -> Activity:
    moment = now() - timedelta(**ago)
    made = Activity(
        user_id=PydanticObjectId(user_id), app_id="notes", event_type=kind, timestamp=moment
    )
    return await made.add()


async def test_recent_activity_is_of_the_last_hours_newest_first() -> None:
    user_id = ObjectId()
    for event_type, hours in (("old", 30), ("middle", 3), ("new", 1)):
        await note(user_id, event_type, hours=hours)
    await note(ObjectId(), "another's", hours=1)
    assert [item.event_type for item in await Activity.get_recent_activity(user_id, 24)] == [
        "new",
        "middle",
    ]
    assert [item.event_type for item in await Activity.get_recent_activity(user_id, 1.5)] == ["new"]
    assert [
        item.event_type for item in await Activity.get_recent_activity(user_id, 48, limit=1)
    ] == ["new"]
    assert [item.event_type for item in await Activity.find_by_user_id(user_id, 2)] == [
        "new",
        "middle",
    ]


async def test_no_read_shows_what_is_older_than_90_days() -> None:
    user_id = ObjectId()
    await note(user_id, "gone", days=90, seconds=1)
    await note(user_id, "kept", days=89)
    start = now() - timedelta(days=200)
    assert [
        item.event_type for item in await Activity.find_by_user_id(user_id, 9, start=start)
    ] == ["kept"]
    assert [item.event_type for item in await Activity.get_recent_activity(user_id, 24 * 365)] == [
        "kept"
    ]


async def test_activities_follow_each_other_by_time_and_id() -> None:
    user_id, moment = ObjectId(), now() - timedelta(hours=1)
    content = ActivityContent(app_id="a", event_type="x", timestamp=moment)
    made = [await Activity.create_activity(user_id, content) for _ in range(5)]
    first = await Activity.find_by_user_id(user_id, 2)
    second = await Activity.find_by_user_id(
        user_id, 9, after=(first[-1].timestamp, ident(first[-1]))
    )
    assert [ident(item) for item in first + second] == [ident(item) for item in reversed(made)]


# Analytics


def event(name: str, category: Any = "custom", **fields: Any) -> AnalyticsContent:
    return AnalyticsContent(app_id="notes", event_name=name, event_category=category, **fields)


async def test_events_are_counted_in_a_span_most_frequent_first() -> None:
    ann, start, end = ObjectId(), now() - timedelta(hours=2), now() - timedelta(hours=1)
    for name, category, moment, user in (
        *[("b", "error", start, ann)] * 2,
        ("a", "custom", start, None),
        ("c", "custom", end - timedelta(milliseconds=1), None),
        ("late", "custom", end, ann),
        ("early", "custom", start - timedelta(milliseconds=1), ann),
    ):
        await Analytics.create_analytics(event(name, category, timestamp=moment), user)
    counts = await Analytics.get_event_counts(start, end)
    assert counts == [
        {"eventName": "b", "count": 2},
        {"eventName": "a", "count": 1},
        {"eventName": "c", "count": 1},
    ]
    assert await Analytics.get_event_counts(start, end, ann) == [{"eventName": "b", "count": 2}]
    categories = [{"eventCategory": "custom", "count": 2}, {"eventCategory": "error", "count": 2}]
    assert await Analytics.get_category_counts(start, end) == categories
    assert await Analytics.get_category_counts(start, end, appId="boats") == []


async def test_a_message_is_stored_once() -> None:
    await Analytics.create_analytics(event("a", message_id="m"))
    with pytest.raises(DuplicateKeyError):
        await Analytics.create_analytics(event("a", message_id="m"))
    rows = [
        Analytics.row(event("b", message_id=name), None, now()) for name in ("m", "n", "n", "o")
    ]
    new = await Analytics.without_stored(rows[:2] + rows[3:])
    assert [row["messageId"] for row in new] == ["n", "o"]
    await Analytics.insert_rows(new)
    more = Analytics.row(event("c", message_id="p"), None, now())
    outcomes = await Analytics.insert_each([*rows[:3], more])
    assert [type(outcome) for outcome in outcomes[:3]] == [DuplicateMessages] * 3
    assert outcomes[3] is None
    with pytest.raises(DuplicateMessages):
        await Analytics.insert_rows([Analytics.row(event("b"), None, now()), rows[2]])
    await Analytics.raw().delete_many({"messageId": {"$exists": False}})
    assert Counter([row["eventName"] async for row in Analytics.raw().find({})]) == {
        "a": 1,
        "b": 2,
        "c": 1,
    }


# The virtual user of every child


@pytest.fixture
async def watched(base_settings: Settings, mongodb_uri: str, client: AsyncMongoClient[Any]) -> Any:
    """The documents bound to a client whose reads are kept."""
    finds = Finds()
    async with connect(base_settings, mongodb_uri, listeners=(finds,)) as own:
        await bind(own, base_settings)
        finds.seen.clear()
        yield finds
    await bind(client, base_settings)


async def test_one_child_is_populated_by_one_query(watched: Finds) -> None:
    ann = await a_user()
    profile = await Profile.find_or_create_profile(ident(ann))
    assert profile.user is None
    watched.seen.clear()
    await profile.populate()
    assert profile.user == ann
    assert [name for name, _ in watched.seen] == ["users"]
    assert "user" not in profile.stored()
    assert "_user" not in profile.stored()


async def test_any_number_of_children_is_populated_by_one_query(watched: Finds) -> None:
    users = [await a_user(f"u{n}@example.com") for n in range(20)]
    children: list[Any] = [await note(ident(user), f"e{n}") for user in users for n in range(10)]
    children += [await Profile.find_or_create_profile(ident(user)) for user in users]
    orphan = await note(ObjectId(), "orphan")
    unknown = await Analytics.create_analytics(event("nobody's"))
    watched.seen.clear()
    await populate([*children, orphan, unknown])
    assert [name for name, _ in watched.seen] == ["users"]
    assert all(child.user is not None and child.user.id == child.user_id for child in children)
    assert (orphan.user, unknown.user) == (None, None)


async def test_populating_nothing_asks_for_nothing(watched: Finds) -> None:
    await populate([])
    await populate([await Analytics.create_analytics(event("nobody's"))])
    assert watched.seen == []


async def test_a_child_is_populated_within_a_transaction() -> None:
    async def work(session: Any) -> Any:
        ann = await User.create_user(UserContent(name="Ann"), session=session)
        profile = await Profile.find_or_create_profile(ident(ann), session=session)
        assert (await Profile(user_id=ann.id).populate()).user is None
        return await profile.populate(session=session)

    profile = await transaction(work)
    assert profile.user.name == "Ann"


# API keys


# Times and ids
