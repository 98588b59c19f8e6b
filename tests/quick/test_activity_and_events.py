"""Activities and events, one collection at a time."""

from datetime import timedelta

import pytest
from bson import ObjectId

from models import Activity, Analytics, User
from models.analytics import AnalyticsContent
from models.base import now
from models.owned import populate
from models.user import UserContent

pytestmark = pytest.mark.usefixtures("database")


async def note(user_id: ObjectId, kind: str, hours_ago: float) -> Activity:
    moment = now() - timedelta(hours=hours_ago)
    made = Activity(
        user_id=user_id, app_id="notes", event_type=kind, event_data={"$ref": "x"}, timestamp=moment
    )
    return await made.add()


async def test_recent_activity_is_newest_first_and_reaches_back_as_far_as_asked():
    user_id = ObjectId()
    for kind, hours_ago in (("old", 30), ("older", 50), ("new", 1), ("gone", 91 * 24)):
        await note(user_id, kind, hours_ago)
    await note(ObjectId(), "someone else's", 1)
    assert [one.event_type for one in await Activity.get_recent_activity(user_id, 48)] == [
        "new",
        "old",
    ]
    assert [one.event_type for one in await Activity.find_by_user_id(user_id, 10)] == [
        "new",
        "old",
        "older",
    ]
    assert [one.event_type for one in await Activity.find_by_user_id(user_id, 1)] == ["new"]


async def test_an_activity_comes_back_as_it_was_stored():
    stored = await note(ObjectId(), "login", 1)
    (found,) = await Activity.find_by_user_id(stored.user_id, 1)
    assert found.model_dump() == stored.model_dump()
    assert (found.event_data, found.version) == ({"$ref": "x"}, 1)


async def test_a_list_goes_on_after_the_last_one_seen():
    user_id = ObjectId()
    first, second = await note(user_id, "second", 2), await note(user_id, "first", 1)
    assert second.id is not None
    rest = await Activity.find_by_user_id(user_id, 10, after=(second.timestamp, second.id))
    assert [one.id for one in rest] == [first.id]


async def test_many_activities_are_populated_at_once():
    ann = await User.create_user(UserContent(name="Ann"))
    activities = [
        await note(ann.id, "login", 1),
        await note(ann.id, "login", 2),
        await note(ObjectId(), "login", 3),
    ]
    await populate(activities)
    assert [one.user and one.user.name for one in activities] == ["Ann", "Ann", None]


async def test_an_event_of_an_unknown_person_keeps_the_clients_id():
    content = AnalyticsContent(
        app_id="notes", event_name="signup", event_category="conversion", user_id="partner-1"
    )
    event = await Analytics.create_analytics(content)
    row = await Analytics.raw().find_one({"_id": event.id})
    assert (row["externalId"], "userId" in row) == ("partner-1", False)
    assert (event.external_id, event.user_id, event.timestamp) == (
        "partner-1",
        None,
        event.received_at,
    )


async def test_events_are_counted_by_name_and_category():
    user_id, start = ObjectId(), now()
    for name, category, whose in (
        ("a", "error", user_id),
        ("b", "custom", None),
        ("b", "error", user_id),
    ):
        await Analytics.create_analytics(
            AnalyticsContent(app_id="n", event_name=name, event_category=category), whose
        )
    end = now() + timedelta(milliseconds=1)
    assert await Analytics.get_event_counts(start, end) == [
        {"eventName": "b", "count": 2},
        {"eventName": "a", "count": 1},
    ]
    assert await Analytics.get_category_counts(start, end, user_id) == [
        {"eventCategory": "error", "count": 2}
    ]
    assert await Analytics.get_event_counts(start, end, eventCategory="custom") == [
        {"eventName": "b", "count": 1}
    ]
    assert await Analytics.get_event_counts(start - timedelta(days=1), start) == []
