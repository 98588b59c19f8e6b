"""A restored day stays until it is released, whatever archives meanwhile; a day that is amiss keeps
no other."""

import asyncio
from typing import Any

import pytest

from app.analytics import jobs
from app.analytics.archive import days as archive_days
from app.analytics.archive import restore
from app.analytics.archive import seal_days as archive
from app.analytics.archive.files import DamagedArchiveError
from app.analytics.rollup.recount import Found
from app.jobs import run_one
from app.settings import Settings
from models.analytics import Analytics
from models.base import now
from models.job import Job
from models.seal import ArchivedDay
from tests.app.analytics.conftest import Place, file_of, opened, seal_and_archive
from tests.app.analytics.large_days import event, planted, stored
from tests.conftest import MakeApi
from tests.factories.archivers import Gate

ARCHIVE = "archive-analytics"


async def name_of_the_day() -> str:
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    return f"{entry['day']:%Y-%m-%d}"


async def test_a_restored_day_outlasts_any_number_of_runs_and_goes_by_command(
    make_api: MakeApi, place: Place
) -> None:
    api, _ = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    day = await name_of_the_day()
    assert await restore.restore_day(api.settings, "notes", day) == (5, 0)
    for _ in range(3):
        assert await seal_and_archive(api.settings) == 0
        await archive.rewrite_erased(api.settings)
    assert (await Analytics.raw().count_documents({}), await ArchivedDay.find_held()) == (
        5,
        {f"notes/{day}"},
    )
    await Job.raw().insert_one(Job(id=ARCHIVE, kind=ARCHIVE, run_at=now()).stored())
    assert await run_one({ARCHIVE: jobs.handlers(api.settings)[ARCHIVE]})
    assert ((await Job.raw().find_one({"_id": ARCHIVE})) or {})["progress"]["heldDays"] == [
        f"notes/{day}"
    ]
    assert await restore.release_days("notes", "2001-01-01", "2001-12-31") == 0
    assert [await restore.release_days("notes", day, day) for _ in range(2)] == [1, 0]
    assert await seal_and_archive(api.settings) == 1
    assert (await Analytics.raw().count_documents({}), await ArchivedDay.find_held()) == (0, set())


@pytest.mark.parametrize("step", ["step", "_remove"])
async def test_an_archiving_that_had_begun_before_the_restore_takes_nothing_of_it(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    api, _ = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    day = await name_of_the_day()
    await restore.restore_day(api.settings, "notes", day)
    await restore.release_days("notes", day, day)
    ((app_id, number),) = await archive.due_days(now())
    gate = Gate(getattr(archive_days, step))
    monkeypatch.setattr(archive_days, step, gate)
    late = asyncio.create_task(archive.archive_day(api.settings, app_id, number))
    await gate.reached.wait()
    await restore.restore_day(api.settings, "notes", day)
    gate.open.set()
    assert await late is None
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert (await Analytics.raw().count_documents({}), entry["removed"], entry["held"]) == (
        5,
        False,
        True,
    )


async def test_a_restore_that_fails_holds_nothing(make_api: MakeApi, place: Place) -> None:
    api, _ = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    place.overwrite(file_of(entry), b"damaged")
    with pytest.raises(DamagedArchiveError):
        await restore.restore_day(api.settings, "notes", await name_of_the_day())
    assert await ArchivedDay.find_held() == set()


ODD: dict[str, dict[str, Any]] = {
    "version": {"version": "x"},
    "parts": {"parts": 7},
    "leftovers": {"leftovers": 7},
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_day_whose_entry_is_odd_keeps_no_other_from_being_rewritten(
    make_api: MakeApi, place: Place, odd: str
) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    await ArchivedDay.raw().insert_one({**entry, "_id": "a-first/2026-01-01", **ODD[odd]})
    await cast.owner.delete("/v1/users/me")
    with pytest.raises(archive._DAY_FAULTS):
        await archive.rewrite_erased(api.settings)
    row = await ArchivedDay.raw().find_one({"_id": entry["_id"]})
    assert row is not None
    assert row["rows"] == 2, "without the erased"


async def test_a_day_that_cannot_be_archived_keeps_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await planted(settings, [event(1, appId="amiss"), event(1), event(2)])
    real = archive.archive_day

    async def archived(by: Settings, app_id: str, *rest: Any) -> int | None:
        if app_id == "amiss":
            raise DamagedArchiveError("amiss")
        return await real(by, app_id, *rest)

    monkeypatch.setattr(archive, "archive_day", archived)
    with pytest.raises(DamagedArchiveError):
        await archive.archive_due(settings)
    assert await stored() == [row for row in before if row["appId"] == "amiss"]


async def test_a_day_that_cannot_be_recounted_keeps_no_other(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(make_api, place)
    counted = list[int]()

    async def lately(_: Any) -> list[tuple[str, int]]:
        return [("notes", 1), ("notes", 2)]

    async def recount(_: str, day: int) -> Found:
        if day == 1:
            raise KeyError("timestamp")
        counted.append(day)
        return Found("notes", day, 3, {})

    monkeypatch.setattr(jobs, "days_touched", lately)
    monkeypatch.setattr(jobs, "recount_day", recount)
    assert await jobs.recount_lately() == {"days": 1, "events": 3, "mended": {}, "failed": 1}
    assert counted == [2]
