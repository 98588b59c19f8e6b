"""Seals, entries of the archive, events and their apps that no version could read: the sound ones
behind them go on."""

from array import array
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.analytics.archive import seal_days as archive
from app.analytics.jobs import recount_lately
from app.settings import Settings
from models.analytics import Analytics
from models.aside import SET_ASIDE
from models.base import now
from models.day import CountDay
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal
from tests.app.analytics.conftest import OLD
from tests.app.analytics.large_days import event, planted, stored
from tests.factories.events import roll_up

ODD: dict[str, dict[str, Any]] = {
    "no moment": {},
    "a moment of no kind": {"sealedTo": "yesterday"},
    "null": {"sealedTo": None},
    "a version of no kind": {"sealedTo": now() - OLD, "version": "x"},
    "a time of no kind": {"sealedTo": now() - OLD, "updatedAt": 7},
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_seal_stops_no_other_app(settings: Settings, odd: str) -> None:
    times = {"createdAt": now(), "updatedAt": now(), "version": 1}
    await Seal.raw().insert_one({"_id": "a-first", **times, **ODD[odd]})
    await planted(settings, [event(minute) for minute in range(3)])
    assert set(await Seal.by_app()) == {"notes"}
    assert (await recount_lately())["days"] == 0
    assert await archive.archive_due(settings) == 1
    assert await stored() == []


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_seal_is_made_anew(settings: Settings, odd: str) -> None:
    times = {"createdAt": now(), "updatedAt": now(), "version": 1}
    await Seal.raw().insert_one({"_id": "notes", **times, **ODD[odd]})
    await planted(settings, [event(minute) for minute in range(3)])
    assert (await Seal.by_app())["notes"] > now() - timedelta(days=31)
    assert await archive.archive_due(settings) == 1
    assert await archive.seal_due(settings, now()) == 0, "it is readable"


@pytest.mark.parametrize(
    "fields", [{}, {"appId": "a"}, {"appId": 7, "day": now()}, {"appId": "a", "day": "x"}]
)
async def test_an_odd_entry_of_the_archive_stops_no_day(settings: Settings, fields: Any) -> None:
    row = {"_id": "a/odd", "state": "written", "removed": False, "version": 1, **fields}
    await ArchivedDay.raw().insert_one(row)
    await planted(settings, [event(minute) for minute in range(3)])
    assert await archive.archive_due(settings) == 1
    assert await stored() == []


@pytest.mark.parametrize(
    "odd",
    [
        {"eventName": ["opened"]},
        {"eventCategory": {}},
        {"appId": ["notes"]},
        {"timestamp": "today"},
        {"timestamp": ...},
    ],
    ids=["name", "category", "app", "time", "no time"],
)
async def test_an_odd_event_stops_no_rollup_of_the_others(settings: Settings, odd: Any) -> None:
    """It came in first of all; it is told, and adds nothing."""
    row = {name: value for name, value in {**event(0), **odd}.items() if value is not ...}
    received = {"receivedAt": now() - timedelta(seconds=1)}
    await Analytics.raw().insert_many(
        [row | {"receivedAt": now() - timedelta(seconds=2)}, event(1) | received]
    )
    told = SET_ASIDE.labels(Analytics.collection_name())._value
    before = told.get()
    await roll_up()
    (day,) = await CountDay.raw().find({}).to_list()
    assert (sum(array("i", day["counts"])), told.get() - before) == (1, 1)
    assert (await RollupState.read()).as_of > received["receivedAt"]


async def test_an_event_of_several_apps_hides_no_app(settings: Settings) -> None:
    odd = event(1, appId=["alpha", "zulu"])
    await Analytics.raw().insert_one(odd)
    await planted(
        settings, [event(minute) for minute in range(3)] + [event(1, appId="zulu", _id=ObjectId())]
    )
    assert [app_id async for app_id in archive._apps()] == ["notes", "zulu"]
    assert set(await Seal.by_app()) == {"notes", "zulu"}
