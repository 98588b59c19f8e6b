"""A day that is too large to be held at once: archived, rewritten and restored in parts, whatever
comes between."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import DBRef, ObjectId
from bson.datetime_ms import DatetimeMS

from app.analytics.archive import days as archive_days
from app.analytics.archive import restore
from app.analytics.archive import seal_days as archive
from app.analytics.archive.files import DamagedArchiveError, Packing
from app.analytics.rollup.slots import DAY_MS, milliseconds
from app.settings import Settings
from models.analytics import Analytics
from models.base import now
from models.day import SessionDay
from models.erasure import Erasure
from models.session import VisitSession
from tests.app.analytics.conftest import OLD, SMALL, Place, opened, seal_and_archive
from tests.app.analytics.large_days import (
    MIDNIGHT,
    NAME,
    entry,
    event,
    in_files,
    planted,
    rollups,
    stored,
)
from tests.conftest import MakeApi
from tests.factories.archivers import Gate
from tests.factories.events import happen, roll_up

pytestmark = pytest.mark.usefixtures("small_parts")


async def test_a_day_goes_into_parts_and_comes_back_as_it_was(
    make_api: MakeApi, place: Place
) -> None:
    api = await make_api(**place.settings, analytics_retention_days=30)
    before = await planted(api.settings, [event(minute) for minute in range(11)])
    rolled_up = await rollups()
    assert await archive.archive_due(api.settings) == 1
    day = await entry()
    assert [part["rows"] for part in day["parts"]] == [4, 4, 3]
    assert (day["rows"], day["bytes"], day["removed"]) == (
        11,
        sum(part["bytes"] for part in day["parts"]),
        True,
    )
    assert place.files() == sorted(part["file"] for part in day["parts"])
    assert (await stored(), await in_files(api.settings), await rollups()) == (
        [],
        before,
        rolled_up,
    )
    assert await restore.restore_day(api.settings, "notes", NAME) == (11, 0)
    assert (await stored(), await rollups()) == (before, rolled_up)
    assert await restore.restore_day(api.settings, "notes", NAME) == (0, 11)
    assert await restore.release_days("notes", NAME, NAME) == 1
    assert await archive.archive_due(api.settings) == 1
    assert (await stored(), await in_files(api.settings), await rollups()) == (
        [],
        before,
        rolled_up,
    )


async def test_more_events_of_one_millisecond_than_a_part_takes_are_each_in_one_part(
    settings: Settings,
) -> None:
    before = await planted(settings, [event(1) for _ in range(10)] + [event(0), event(2), event(2)])
    assert await archive.archive_due(settings) == 1
    assert [part["rows"] for part in (await entry())["parts"]] == [4, 4, 4, 1]
    assert (await stored(), await in_files(settings)) == ([], before)


async def test_large_events_end_a_part_early(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_days, "PART_EVENTS", 100)
    monkeypatch.setattr(archive_days, "PART_BYTES", 5000)
    before = await planted(
        settings, [event(minute, eventData={"text": "x" * 2000}) for minute in range(10)]
    )
    assert await archive.archive_due(settings) == 1
    assert [part["rows"] for part in (await entry())["parts"]] == [3, 3, 3, 1]
    assert await in_files(settings) == before


async def test_no_more_events_are_held_than_a_batch_has(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[int]()

    def noting(real: Callable[..., Any], place: int) -> Any:
        def noted(*args: Any, **named: Any) -> Any:
            held.append(len(args[place]))
            return real(*args, **named)

        return noted

    for module, name, place in (
        (archive_days, "_remove", 1),
        (restore, "_restore", 1),
    ):
        monkeypatch.setattr(module, name, noting(getattr(module, name), place))

    monkeypatch.setattr(Packing, "add", noting(Packing.add, 1))
    await planted(settings, [event(minute) for minute in range(50)])
    assert await archive.archive_due(settings) == 1
    assert await restore.restore_day(settings, "notes", NAME) == (50, 0)
    assert (max(held), sum(held)) == (3, 150)


ODD: dict[str, Any] = {
    "no receivedAt": {"receivedAt": ...},
    "a name of no kind": {"eventName": ["opened"]},
    "a category of no kind": {"eventCategory": {}},
    "no name": {"eventName": ...},
    "a time of no calendar": {"receivedAt": DatetimeMS(2**60)},
    "a reference": {"eventData": DBRef("users", 1)},
    "a user of no kind": {"userId": "me"},
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_event_that_cannot_be_read_is_archived_and_restored_with_the_others(
    settings: Settings, odd: str
) -> None:
    row = {name: value for name, value in {**event(3), **ODD[odd]}.items() if value is not ...}
    before = await planted(settings, [event(minute) for minute in range(3)])
    await Analytics.raw().insert_one(row)
    await roll_up()
    assert await archive.archive_due(settings) == 1
    assert await Analytics.raw().find_one({}, {"_id": 1}) is None
    assert (await entry())["rows"] == 4
    assert await restore.restore_day(settings, "notes", NAME) == (4, 0)
    assert [each for each in await stored() if each["_id"] != row["_id"]] == before
    assert await Analytics.raw().find_one({"_id": row["_id"]}, {"_id": 1}) == {"_id": row["_id"]}


async def test_a_part_with_nobody_left_goes(settings: Settings, folder: Place) -> None:
    user = ObjectId()
    await planted(
        settings,
        [event(minute, **({"userId": user} if minute < SMALL else {})) for minute in range(6)],
    )
    await archive.archive_due(settings)
    await Erasure(id=user).add()  # type: ignore[arg-type]
    assert await archive.rewrite_erased(settings) == SMALL
    assert ([part["rows"] for part in (await entry())["parts"]], len(folder.files())) == ([2], 1)
    assert await archive.rewrite_erased(settings) == 0


@pytest.mark.parametrize("step", ["put_in_place", "_remove"])
async def test_a_late_event_is_in_a_file_before_it_goes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = await planted(settings, [event(minute) for minute in range(9)])
    gate = Gate(getattr(archive_days, step))
    monkeypatch.setattr(archive_days, step, gate)
    running = asyncio.create_task(archive.archive_due(settings))
    await gate.reached.wait()
    late = event(0)
    await Analytics.raw().insert_one(late)
    gate.open.set()
    assert await running == 1
    assert await stored() == []
    found = await in_files(settings)
    assert sorted(row["_id"] for row in found) == sorted(
        [*(row["_id"] for row in before), late["_id"]]
    )


@pytest.mark.parametrize("step", ["_last_recount", "put_in_place", "_remove", "step"])
async def test_somebody_who_is_erased_while_a_day_is_archived_is_in_no_file_and_does_not_come_back(
    make_api: MakeApi, folder: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    api, cast = await opened(make_api, folder)
    await happen(cast.owner, "opened", 7, OLD, sessionId="s-1")
    await happen(cast.stranger, "opened", 7, OLD, sessionId="s-2")
    await roll_up()
    await archive.seal_due(api.settings, now() - 2 * archive.SETTLED)
    gate = Gate(getattr(archive_days, step))
    monkeypatch.setattr(archive_days, step, gate)
    running = asyncio.create_task(archive.archive_due(api.settings))
    await gate.reached.wait()
    await cast.owner.delete("/v1/users/me")
    gate.open.set()
    assert await running == 1
    await archive.rewrite_erased(api.settings)
    rows = await in_files(api.settings)
    assert ({str(row["userId"]) for row in rows}, len(rows)) == ({cast.stranger.id}, 9)
    assert await restore.restore_day(
        api.settings, "notes", f"{(await entry())['day']:%Y-%m-%d}"
    ) == (9, 0)
    assert {str(row["userId"]) for row in await stored()} == {cast.stranger.id}


async def test_somebody_who_is_erased_while_a_day_is_restored_does_not_come_back(
    make_api: MakeApi, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, cast = await opened(make_api, folder)
    key = await api.key("events:write", app_id="notes")
    for number in range(6):
        await happen(key, "opened", 1, OLD, anonymousId=f"anon-{number % 2}")
    await roll_up()
    assert await seal_and_archive(api.settings) == 1
    told = await key.post("/v1/identify", json={"anonymousId": "anon-1", "userId": cast.owner.id})
    assert told.status_code < 300
    gate = Gate(restore._restore)
    monkeypatch.setattr(restore, "_restore", gate)
    running = asyncio.create_task(
        restore.restore_day(api.settings, "notes", f"{(await entry())['day']:%Y-%m-%d}")
    )
    await gate.reached.wait()
    await cast.owner.delete("/v1/users/me")
    gate.open.set()
    assert await running == (5, 6)
    back = [(row.get("anonymousId"), row.get("userId")) for row in await stored()]
    assert sorted(back, key=str) == sorted(
        [("anon-0", None)] * 3 + [(None, ObjectId(cast.stranger.id))] * 2, key=str
    )


async def test_a_damaged_part_keeps_its_events_and_no_others(
    settings: Settings, folder: Place
) -> None:
    before = await planted(settings, [event(minute) for minute in range(9)])
    await archive.archive_due(settings)
    await restore.restore_day(settings, "notes", NAME)
    await restore.release_days("notes", NAME, NAME)
    first, second, _ = (await entry())["parts"]
    folder.overwrite(second["file"], b"damaged")
    with pytest.raises(DamagedArchiveError):
        await archive.archive_due(settings)
    assert len(await stored()) == 5, "the first part is gone, whose file is whole"
    assert first["file"] in folder.files()
    assert before[4:] == await stored()


async def test_sessions_of_an_archived_day_stay_in_the_figures(settings: Settings) -> None:
    await planted(settings, [event(minute) for minute in range(11)])
    before = await SessionDay.raw().find({}).to_list()
    assert await archive.archive_due(settings) == 1
    (day,) = await SessionDay.raw().find({}).to_list()
    assert (sum(memoryview(day["sessions"]).cast("Q")), day["events"]) == (3, before[0]["events"])


async def test_sessions_are_forgotten_once_their_events_are_archived_and_no_sooner(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planted(settings, [event(minute) for minute in range(6)])

    async def fails(*_: Any) -> None:
        raise KeyError

    with monkeypatch.context() as patch:
        patch.setattr(archive, "archive_day", fails)
        with pytest.raises(KeyError):
            await archive.archive_due(settings)
    assert await VisitSession.raw().count_documents({}) == 2
    assert await archive.archive_due(settings) == 1
    assert await VisitSession.raw().count_documents({}) == 0


async def test_a_session_into_an_archived_day_is_not_cut_by_the_recount_of_the_day_before(
    settings: Settings,
) -> None:
    """The day before is archived later, since its first try failed."""
    await planted(settings, [event(minute, sessionId="night") for minute in (-10, -5, 5, 10)])
    before = await VisitSession.raw().find({}).to_list()
    day = milliseconds(MIDNIGHT) // DAY_MS
    assert await archive_days.archive_day(settings, "notes", day) == 2
    assert await archive_days.archive_day(settings, "notes", day - 1) == 2
    assert (
        [row["events"] for row in await VisitSession.raw().find({}).to_list()]
        == [before[0]["events"]]
        == [4]
    )
    assert datetime(2020, 1, 1, tzinfo=UTC) < before[0]["start"]
