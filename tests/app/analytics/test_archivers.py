"""Two archivers at one day, and one that died: no event is lost, no file is left, rollups stay."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from app import jobs
from app.analytics import jobs as analytics_jobs
from app.analytics.archive import days as archive_days
from app.analytics.archive import restore
from app.analytics.archive import seal_days as archive
from app.analytics.archive import target as archive_target
from app.analytics.archive.files import DamagedArchiveError
from app.analytics.rollup.recount import recount_day
from models.analytics import Analytics
from models.base import now, rfc3339
from models.job import Job
from models.seal import ArchivedDay
from tests.app.analytics.conftest import Place, file_of, opened, seal_and_archive, states
from tests.conftest import MakeApi
from tests.factories.archivers import Gate
from tests.factories.events import counts


@pytest.mark.parametrize("step", ["_last_recount", "put_in_place", "step"])
async def test_of_two_processes_that_archive_a_day_one_steps_back(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    api, cast = await opened(make_api, place)
    since = {"from": rfc3339(now() - timedelta(days=60))}
    before = await counts(cast, **since)
    await archive.seal_due(api.settings, now() - 2 * archive.SETTLED)
    ((app_id, day),) = await archive.due_days(now())
    gate = Gate(getattr(archive_days, step))
    monkeypatch.setattr(archive_days, step, gate)
    late = asyncio.create_task(archive_days.archive_day(api.settings, app_id, day))
    await gate.reached.wait()
    assert await archive_days.archive_day(api.settings, app_id, day) == 5
    gate.open.set()
    assert await late is None
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert (entry["rows"], entry["state"], entry["leftovers"]) == (5, "written", [])
    assert place.files() == [file_of(entry)]
    assert await counts(cast, **since) == before
    assert await restore.restore_day(api.settings, app_id, f"{entry['day']:%Y-%m-%d}") == (5, 0)
    assert await Analytics.raw().count_documents({}) == 5


async def test_two_archivers_at_once_do_a_day_once(make_api: MakeApi, place: Place) -> None:
    api, cast = await opened(make_api, place)
    since = {"from": rfc3339(now() - timedelta(days=60))}
    before = await counts(cast, **since)
    await archive.seal_due(api.settings, now() - 2 * archive.SETTLED)
    done = await asyncio.gather(*(archive.archive_due(api.settings) for _ in range(3)))
    assert sum(done) <= 3
    for _ in range(2):  # what the three left to each other
        await archive.archive_due(api.settings)
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert (entry["rows"], entry["removed"], place.files()) == (5, True, [file_of(entry)])
    assert await Analytics.raw().count_documents({}) == 0
    assert await counts(cast, **since) == before


async def test_an_archived_day_is_not_counted_anew(make_api: MakeApi, place: Place) -> None:
    api, cast = await opened(make_api, place)
    since = {"from": rfc3339(now() - timedelta(days=60))}
    before = await counts(cast, **since)
    await archive.seal_due(api.settings, now() - 2 * archive.SETTLED)
    ((app_id, day),) = await archive.due_days(now())
    assert (await recount_day(app_id, day)).events == 5
    await archive_days.archive_day(api.settings, app_id, day)
    found = await recount_day(app_id, day)
    assert (found.events, found.mended) == (0, {})
    await ArchivedDay.raw().update_many({}, {"$unset": {"state": ""}})  # the former form
    assert (await recount_day(app_id, day)).mended == {}
    assert await counts(cast, **since) == before


async def test_an_archiving_that_died_leaves_no_file(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the file and its entry: the next run goes on; with nothing left to archive it
    cleans up."""
    api, cast = await opened(make_api, place)
    finish = archive_target.Writing.finish

    def die(self: Any) -> None:
        finish(self)
        raise MemoryError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(archive_target.Writing, "finish", die)
        for _ in range(2):
            with pytest.raises(MemoryError):
                await seal_and_archive(api.settings)
    assert (await Analytics.raw().count_documents({}), await states()) == (5, ["writing"])
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert place.files() == entry["leftovers"]
    with pytest.raises(KeyError):
        await restore.restore_day(api.settings, "notes", f"{entry['day']:%Y-%m-%d}")
    assert (
        await archive.rewrite_erased(api.settings) == 0
    )  # there are events: it is the next archiving's
    assert place.files() == entry["leftovers"]
    await cast.owner.delete("/v1/users/me")
    await cast.stranger.delete("/v1/users/me")
    assert await archive.archive_due(api.settings) == 0
    assert await archive.rewrite_erased(api.settings) == 0
    assert (place.files(), await states()) == ([], [])


async def test_events_that_the_file_lacks_are_put_into_it_before_they_go(
    make_api: MakeApi, place: Place
) -> None:
    api, _ = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    day = f"{entry['day']:%Y-%m-%d}"
    assert await restore.restore_day(api.settings, "notes", day) == (5, 0)
    one = await Analytics.raw().find_one({})
    assert one is not None
    await Analytics.raw().insert_one({**one, "_id": ObjectId()})
    assert await restore.release_days("notes", day, day) == 1
    assert await archive.archive_due(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 0
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert (entry["rows"], place.files()) == (6, sorted(each["file"] for each in entry["parts"]))
    assert await restore.restore_day(api.settings, "notes", day) == (6, 0)
    assert await restore.release_days("notes", day, day) == 1
    for part in entry["parts"]:
        place.overwrite(part["file"], b"damaged")
    with pytest.raises(DamagedArchiveError):
        await archive.archive_due(api.settings)
    assert await Analytics.raw().count_documents({}) == 6


async def test_days_of_the_former_form_stay_readable(make_api: MakeApi, tmp_path: Path) -> None:
    place = Place({"analytics_archive": str(tmp_path)}, folder=tmp_path)
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    former = file_of(entry).split("~")[0] + ".ndjson.zst"
    (tmp_path / file_of(entry)).rename(tmp_path / former)
    where = {"_id": entry["_id"]}
    (part,) = entry["parts"]
    fields = {"file": former, "sha256": part["sha256"], "erasedTo": part["erasedTo"], "version": 1}
    await ArchivedDay.raw().update_one(
        where, {"$set": fields, "$unset": {"state": "", "parts": "", "counted": ""}}
    )
    day = f"{entry['day']:%Y-%m-%d}"
    assert await restore.restore_day(api.settings, "notes", day) == (5, 0)
    assert await restore.release_days("notes", day, day) == 1
    assert await archive.archive_due(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 0
    await cast.owner.delete("/v1/users/me")
    assert await archive.rewrite_erased(api.settings) == 3
    assert await restore.restore_day(api.settings, "notes", day) == (2, 0)


async def test_half_files_are_swept(make_api: MakeApi, tmp_path: Path) -> None:
    place = Place({"analytics_archive": str(tmp_path)}, folder=tmp_path)
    api, _ = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    target, folder = archive_target.archive_target(api.settings), (tmp_path / file_of(entry)).parent
    dead, living, of_a_leftover = (
        folder / f".{name}.ndjson.zst.0a1b2c3d" for name in ("dead", "living", "leftover")
    )
    for path in (dead, living, of_a_leftover):
        path.write_bytes(b"half")
    os.utime(dead, (0, 0))
    target.remove(f"{folder.name}/leftover.ndjson.zst")
    target.begin(f"{folder.name}/next.ndjson.zst").finish()
    assert sorted(path.name for path in folder.glob(".*")) == [living.name]


async def test_the_lease_is_kept_while_a_day_is_archived(
    make_api: MakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place({"analytics_archive": str(tmp_path)}, folder=tmp_path)
    api, _ = await opened(make_api, place)
    await archive.seal_due(api.settings, now() - 2 * archive.SETTLED)
    monkeypatch.setattr(jobs, "CLAIM", timedelta(milliseconds=300))
    await Job(
        id="archive-analytics", kind="archive-analytics", run_at=now(), every_seconds=3600.0
    ).add()
    gate = Gate(archive_days.put_in_place)
    monkeypatch.setattr(archive_days, "put_in_place", gate)
    handlers = analytics_jobs.handlers(api.settings)
    first = asyncio.create_task(jobs.run_one(handlers))
    await gate.reached.wait()
    job = await Job.raw().find_one({"_id": "archive-analytics"})
    assert job is not None
    while True:  # until the lease has been prolonged well past its first end
        later = await Job.raw().find_one({"_id": "archive-analytics"})
        assert later is not None
        if later["leasedUntil"] > job["leasedUntil"] + timedelta(milliseconds=600):
            break
        await asyncio.sleep(0.02)
    assert (later["fence"], later["leasedUntil"] > job["leasedUntil"]) == (1, True)
    gate.open.set()
    assert await first
    assert await Analytics.raw().count_documents({}) == 0
    done = await Job.raw().find_one({"_id": "archive-analytics"})
    assert done is not None
    assert (done["fence"], done.get("lastError")) == (1, None)
