"""The required methods, in snake_case, against a real database."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError
from pymongo.monitoring import CommandStartedEvent

from app.database import bind, connect
from app.settings import Settings
from models import Activity, Analytics, AppData, Preferences, Profile, User
from models.activity import ActivityContent
from models.analytics import AnalyticsContent
from models.app_data_expiry import expire_due
from models.app_data_written import StaleVersion
from models.base import now
from models.owned import populate
from models.precondition import Expected
from models.user import UserContent
from tests.explain import QueryRecorder

pytestmark = pytest.mark.usefixtures("database")


async def ann() -> User:
    return await User.create_user(UserContent(email="Ann@Example.com", name="Ann"))


async def test_user_is_found_by_any_spelling_of_the_email() -> None:
    user = await ann()
    assert user.email == "ann@example.com"
    found = await User.find_by_email("  ANN@EXAMPLE.com")
    assert found is not None
    assert (found.id, found.roles, found.role, found.version) == (user.id, ["user"], None, 1)
    assert await User.find_by_email("bob@example.com") is None
    assert await User.find_by_email("no address") is None
    with pytest.raises(DuplicateKeyError):
        await User.create_user(UserContent(email="ann@EXAMPLE.com"))


async def test_people_without_email_are_many() -> None:
    await User.create_user(UserContent())
    await User.create_user(UserContent())
    assert await User.raw().count_documents({}) == 2


async def test_last_login_moves_forward_and_no_version() -> None:
    user = await ann()
    await user.update_last_login()
    later = now() + timedelta(hours=1)
    await User.raw().update_one({"_id": user.id}, {"$set": {"lastLogin": later}})
    await user.update_last_login()
    stored = User.from_stored(await User.raw().find_one({}) or {})
    assert (stored.last_login, stored.version) == (later, 1)
    with pytest.raises(LookupError):
        await User(id=ObjectId()).update_last_login()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (Profile, Profile.find_or_create_profile),
        (Preferences, Preferences.find_or_create_preferences),
    ],
)
async def test_fifty_racing_find_or_creates_give_one_document(kind: Any, make: Any) -> None:
    user = await ann()
    made = await asyncio.gather(*(make(user.id) for _ in range(50)))
    assert len({document.id for document in made}) == 1
    assert await kind.raw().count_documents({}) == 1
    found = await kind.find_by_user_id(user.id)
    assert (found.id, found.version) == (made[0].id, 1)


async def test_recent_activity_is_the_newest_first_and_never_older_than_ninety_days() -> None:
    user = ObjectId()
    for hours in (1, 30, 2, 91 * 24):
        moment = now() - timedelta(hours=hours)
        await Activity(user_id=user, app_id="notes", event_type=f"{hours}h", timestamp=moment).add()
    recent = await Activity.get_recent_activity(user, 24)
    assert [activity.event_type for activity in recent] == ["1h", "2h"]
    everything = await Activity.find_by_user_id(user, 100)
    assert [activity.event_type for activity in everything] == ["1h", "2h", "30h"]
    assert [activity.event_type for activity in await Activity.find_by_user_id(user, 2)] == [
        "1h",
        "2h",
    ]


async def test_counts_are_of_a_span_and_of_a_user() -> None:
    user, moment = ObjectId(), now()
    for name, category, owner, hours in [
        ("opened", "engagement", user, 1),
        ("opened", "engagement", None, 2),
        ("bought", "conversion", user, 3),
        ("old", "custom", user, 100),
    ]:
        content = AnalyticsContent(
            app_id="notes",
            event_name=name,
            event_category=category,
            timestamp=moment - timedelta(hours=hours),
        )
        await Analytics.create_analytics(content, owner)
    start = moment - timedelta(hours=24)
    assert await Analytics.get_event_counts(start, moment) == [
        {"eventName": "opened", "count": 2},
        {"eventName": "bought", "count": 1},
    ]
    assert await Analytics.get_event_counts(start, moment, user) == [
        {"eventName": "bought", "count": 1},
        {"eventName": "opened", "count": 1},
    ]
    assert await Analytics.get_category_counts(start, moment) == [
        {"eventCategory": "engagement", "count": 2},
        {"eventCategory": "conversion", "count": 1},
    ]
    assert await Analytics.get_event_counts(start, start) == []


async def test_app_data_counts_on_after_deletion_and_expiry() -> None:
    place = (ObjectId(), "notes", "k")
    assert (await AppData.put(*place, 1, size=1, by="t")).version == 1
    assert await AppData.delete(*place, by="t") == 2
    assert await AppData.find_by_user_app_and_key(*place) is None
    again = await AppData.put(*place, 2, size=1, by="t", expires_at=now() - timedelta(seconds=1))
    assert (again.version, again.created) == (3, True)
    assert await AppData.find_by_user_app_and_key(*place) is None
    with pytest.raises(StaleVersion):
        await AppData.put(*place, 3, size=1, by="t", expected=Expected((3,)))
    assert await expire_due(10) == 1
    assert await expire_due(10) == 0
    revived = await AppData.put(*place, 4, size=1, by="t", expected=Expected(absent=True))
    assert (revived.version, revived.created) == (5, True)


async def test_owners_of_many_children_come_by_one_query(
    base_settings: Settings, mongodb_uri: str, database: AsyncDatabase[Any]
) -> None:
    class Sent(QueryRecorder):
        names: list[str]

        def started(self, event: CommandStartedEvent) -> None:
            self.names.append(event.command_name)

    sent = Sent()
    sent.names = []
    async with connect(base_settings, mongodb_uri, listeners=(sent,)) as own:
        await bind(own, base_settings)
        users = [await User.create_user(UserContent(name=f"user {number}")) for number in range(3)]
        children: list[Any] = [await Profile.find_or_create_profile(users[0].id)]
        content = ActivityContent(app_id="notes", event_type="t")
        children += [
            await Activity.create_activity(users[number % 3].id, content) for number in range(9)
        ]
        children.append(await Activity.create_activity(ObjectId(), content))
        sent.names.clear()
        await populate(children)
        assert sent.names.count("find") == 1
        assert len(sent.names) == 1
        profile = await Profile.find_by_user_id(
            users[1].id
        ) or await Profile.find_or_create_profile(users[1].id)
        assert profile.user is None
        await profile.populate()
    await bind(database.client, base_settings)
    assert [child.user and child.user.name for child in children] == [
        "user 0", *(f"user {number % 3}" for number in range(9)), None,
    ]  # fmt: skip
    assert profile.user is not None
    assert profile.user.name == "user 1"
