"""The demo fills a Satchel with what the models accept, the same for the same seed, and nothing
twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

import httpx2
import pytest

from models import Activity, Analytics, App, AppData, Preferences, Profile, User
from models.activity import KEPT
from models.analytics import AnalyticsContent
from models.base import now
from models.preferences import PreferencesContent
from models.profile import ProfileContent
from models.user import UserContent
from scripts.demo.api import Api, DemoError
from scripts.demo.catalogue import APPS, BAD_APP, BAD_DAY
from scripts.demo.fill import AT_WORK, Filler, Plan
from scripts.demo.people import keepings, person, preferences, profile
from scripts.demo.visits import history, ids, stranger

UNTIL = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
DAYS = 90
PEOPLE = [person(7, number, DAYS) for number in range(400)]
HISTORIES = [history(person(7, number, DAYS), DAYS, UNTIL) for number in range(400)]
EVENTS = [event for told in HISTORIES for event in told.events]


def days_ago(event):
    return (UNTIL.date() - datetime.fromisoformat(event["timestamp"]).date()).days


def test_the_same_seed_makes_the_same_people():
    again = person(7, 3, DAYS)
    assert again.user == PEOPLE[3].user
    assert list(keepings(again)) == list(keepings(PEOPLE[3]))
    assert history(again, DAYS, UNTIL).events == HISTORIES[3].events
    assert list(islice(ids(again), 3)) == list(islice(ids(PEOPLE[3]), 3))
    assert person(8, 3, DAYS).user != PEOPLE[3].user


def test_everything_is_as_the_models_want_it():
    for who in PEOPLE:
        assert UserContent.model_validate(who.user).email == who.email
        ProfileContent.model_validate(profile(who) or {})
        PreferencesContent.model_validate(preferences(who) or {})
    for event in EVENTS:
        AnalyticsContent.model_validate(event)


def test_emails_messages_and_ids_are_unique():
    assert len({who.email for who in PEOPLE}) == len(PEOPLE)
    strangers = [
        event for number in range(200) for event in stranger(7, number, DAYS, UNTIL).events
    ]
    messages = [event["messageId"] for event in EVENTS + strangers]
    assert len(set(messages)) == len(messages)
    assert len({key for who in PEOPLE for key in islice(ids(who), 50)}) == 50 * len(PEOPLE)


def test_nothing_is_still_to_come_or_past_its_time():
    moments = [datetime.fromisoformat(event["timestamp"]) for event in EVENTS]
    moments += [activity[-1] for told in HISTORIES for activity in told.activities]
    assert min(moments) > UNTIL - KEPT and max(moments) < UNTIL


def test_the_days_have_a_rhythm_and_grow_in_number():
    by_weekday = Counter((UNTIL - timedelta(days=days_ago(event))).weekday() for event in EVENTS)
    assert by_weekday[5] < 0.9 * by_weekday[1]
    early = sum(60 <= days_ago(event) < 88 for event in EVENTS)
    late = sum(1 <= days_ago(event) < 29 for event in EVENTS)
    assert late > 1.1 * early


def test_one_day_was_bad_for_one_app():
    errors = Counter(
        days_ago(event)
        for event in EVENTS
        if event["appId"] == BAD_APP and event["eventCategory"] == "error"
    )
    (worst, count), (_, second) = errors.most_common(2)
    assert worst in (BAD_DAY - 1, BAD_DAY, BAD_DAY + 1)
    assert count > 3 * second


def small_demo(caller):
    """A small demo, sent by a caller of the application in this process."""
    plan = Plan(users=40, days=20, seed=7, until=now())
    return Filler(Api("http://satchel.test", [caller] * AT_WORK), plan, lambda what, more: None)


@pytest.fixture
async def filler(api):
    return small_demo(await api.key("admin"))


async def counts():
    documents = (User, Profile, Preferences, Activity, AppData, Analytics, App)
    return {
        document.collection_name(): await document.raw().count_documents({})
        for document in documents
    }


async def test_a_second_run_adds_nothing(filler):
    await filler.check()
    assert not await filler.is_filled()
    await filler.fill()
    first = await counts()
    assert first["users"] == first["profiles"] == first["preferences"] == filler.plan.users
    assert first["apps"] == len(APPS)
    assert min(first["activities"], first["appdata"], first["analytics"]) > filler.plan.users
    assert await filler.is_filled()
    versions = await AppData.raw().find({}, {"version": 1}).to_list()
    await filler.fill()
    assert await counts() == first
    assert await AppData.raw().find({}, {"version": 1}).to_list() == versions


async def test_it_leaves_no_orphan_and_dates_people_back(filler):
    await filler.fill()
    people = await User.raw().distinct("_id")
    for child in (Activity, AppData):
        assert await child.raw().count_documents({"userId": {"$nin": people}}) == 0
    assert (
        await Analytics.raw().count_documents(
            {"userId": {"$nin": people}, "externalId": {"$gt": ""}}
        )
        > 0
    )
    assert await Analytics.raw().count_documents({"anonymousId": {"$gt": ""}}) > 0
    assert (
        await User.raw().count_documents(
            {"createdAt": {"$lt": filler.plan.until - timedelta(days=1)}}
        )
        > 30
    )
    assert await AppData.raw().count_documents({"version": {"$gt": 1}}) > 0


async def test_a_key_that_may_not_is_told_so(api):
    with pytest.raises(DemoError, match="answered 403"):
        await small_demo(await api.key("users:read")).fill()


async def test_where_no_satchel_answers_that_is_said():
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(DemoError, match="No Satchel answers at http://127"):
            await Api("http://127.0.0.1:9", [client]).call("GET", "/livez")
