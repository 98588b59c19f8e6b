"""The archive, in a folder and in a bucket of a real S3 server: whole, checked, without the erased;
or nothing goes."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import ValidationError

from app.analytics.archive import erased as archive_erased
from app.analytics.archive import restore
from app.analytics.archive import seal_days as archive
from app.analytics.archive import target as archive_target
from app.analytics.archive.days import no_beat
from app.analytics.archive.entry import step
from app.analytics.archive.files import DamagedArchiveError, Packing
from app.analytics.rollup import advance
from app.analytics.rollup.joins import carry_out_joins
from app.settings import Settings
from app.storage.bucket import BucketStore, BucketUnavailableError
from app.storage.folder import FolderStore
from models.analytics import Analytics
from models.base import Raw, now, rfc3339
from models.erasure import Erasure
from models.rollup_state import BEGINNING, RollupState
from models.seal import ArchivedDay, Seal
from tests.app.analytics.conftest import (
    OLD,
    Place,
    file_of,
    opened,
    seal_and_archive,
    states,
)
from tests.app.analytics.large_days import event
from tests.cast import enrol
from tests.conftest import MakeApi
from tests.factories.buckets import SECRET, bucket
from tests.factories.events import counts, happen, roll_up


async def test_days_are_archived_restored_and_rewritten_without_the_erased(
    make_api: MakeApi, place: Place
) -> None:
    api, cast = await opened(make_api, place)
    await happen(cast.stranger, "opened", 1)
    await roll_up()
    since = {"from": rfc3339(now() - timedelta(days=60))}
    assert await counts(cast, **since) == [{"eventName": "opened", "count": 6}]
    assert await seal_and_archive(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 1
    assert await counts(cast, **since) == [{"eventName": "opened", "count": 6}]  # rollups live on
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], day["removed"], place.files()) == (5, True, [file_of(day)])
    if place.folder is not None:
        assert (place.folder / file_of(day)).stat().st_mode & 0o777 == 0o600

    late = {
        "appId": "notes",
        "eventName": "late",
        "eventCategory": "custom",
        "timestamp": rfc3339(now() - OLD),
    }
    assert (await cast.owner.post("/v1/analytics/events", json=late)).json()["quarantined"] == 1

    await cast.owner.delete("/v1/users/me")
    assert await archive.rewrite_erased(api.settings) == 3
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], day["leftovers"], place.files()) == (2, [], [file_of(day)])
    assert await restore.restore_day(api.settings, "notes", f"{day['day']:%Y-%m-%d}") == (2, 0)
    assert await Analytics.raw().count_documents({}) == 3
    assert await seal_and_archive(api.settings) == 0, "a restored day is held"
    assert await Analytics.raw().count_documents({}) == 3
    name = f"{day['day']:%Y-%m-%d}"
    assert await restore.release_days("notes", name, name) == 1
    assert await seal_and_archive(api.settings) == 1  # takes the restored day away again
    assert await Analytics.raw().count_documents({}) == 1


async def test_a_restore_applies_the_ledger_to_a_file_that_still_has_the_erased(
    make_api: MakeApi, place: Place
) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    (day,) = await ArchivedDay.raw().find({}).to_list()
    await cast.owner.delete("/v1/users/me")
    name = f"{day['day']:%Y-%m-%d}"
    assert await restore.restore_day(api.settings, "notes", name) == (2, 3)
    assert await Analytics.raw().count_documents({"userId": ObjectId(cast.owner.id)}) == 0
    assert await restore.restore_day(api.settings, "notes", name) == (0, 5), "it is there already"
    assert await restore.release_days("notes", name, name) == 1
    assert await archive.archive_due(api.settings) == 1
    place.overwrite(file_of(day), b"damaged")
    with pytest.raises(DamagedArchiveError):
        await restore.restore_day(api.settings, "notes", name)
    with pytest.raises(KeyError):
        await restore.restore_day(api.settings, "notes", "2001-01-01")


async def test_what_is_not_as_it_was_written_removes_nothing(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _ = await opened(make_api, place)
    whole = Packing.add

    def add(packing: Packing, rows: list[Raw]) -> None:
        whole(packing, rows)
        packing.rows += 1

    with monkeypatch.context() as patch:
        patch.setattr(Packing, "add", add)
        with pytest.raises(DamagedArchiveError):
            await seal_and_archive(api.settings)
    assert await Analytics.raw().count_documents({}) == 5
    assert (await states(), place.files()) == (["writing"], [])
    assert await archive.archive_due(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 0


@pytest.mark.parametrize("kind", ["folder", "no bucket", "no service"])
async def test_what_cannot_be_written_removes_nothing(
    make_api: MakeApi, tmp_path: Path, s3: str, kind: str
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    settings = {
        "folder": {"analytics_archive": str(in_the_way / "below")},
        "no bucket": bucket(s3, "not-there"),
        "no service": bucket("http://127.0.0.1:9", "archive"),
    }[kind]
    api, _ = await opened(make_api, Place(settings))
    with pytest.raises(OSError) as caught:
        await seal_and_archive(api.settings)
    assert isinstance(caught.value, BucketUnavailableError) == (kind == "no service")
    assert SECRET not in str(caught.value)
    assert await Analytics.raw().count_documents({}) == 5
    assert await states() == ["writing"]


async def test_a_rewriting_that_died_leaves_no_file_of_the_erased(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    await cast.owner.delete("/v1/users/me")

    def die(*_: Any) -> None:
        raise OSError("no connection")

    kind = FolderStore if place.folder is not None else BucketStore
    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove", die)
        with pytest.raises(OSError, match="no connection"):
            await archive.rewrite_erased(api.settings)
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], len(place.files()), len(day["leftovers"])) == (2, 2, 1)
    assert await archive.rewrite_erased(api.settings) == 0
    assert place.files() == [file_of(day)]
    assert await restore.restore_day(api.settings, "notes", f"{day['day']:%Y-%m-%d}") == (2, 0)


async def test_of_two_processes_that_rewrite_a_day_one_steps_back(
    make_api: MakeApi, place: Place
) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    await cast.owner.delete("/v1/users/me")
    (row,) = await ArchivedDay.raw().find({}).to_list()
    target = archive_target.archive_target(api.settings)
    stale = dict(row)
    assert await archive_erased.rewrite_day(target, row, no_beat) == 3
    assert not await step(stale, {"leftovers": ["x"]})
    assert place.files() == [file_of(row)]


async def test_a_message_that_was_stored_anew_is_left_out_of_a_restore(
    make_api: MakeApi, place: Place
) -> None:
    api, cast = await opened(make_api, place)
    await happen(cast.owner, "opened", 1, OLD, messageId="m-1")
    await happen(cast.owner, "opened", 1, OLD, messageId="m-2")
    await roll_up()
    assert await seal_and_archive(api.settings) == 1
    await happen(cast.owner, "opened", 1, messageId="m-1")
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert await restore.restore_day(api.settings, "notes", f"{entry['day']:%Y-%m-%d}") == (6, 1)
    assert await Analytics.raw().count_documents({}) == 7


async def test_restored_events_of_somebody_who_is_known_by_now_go_with_the_user(
    make_api: MakeApi, place: Place
) -> None:
    api, cast = await opened(make_api, place)
    key = await api.key("events:write", app_id="notes")
    await happen(key, "seen", 2, OLD, anonymousId="anon-1")
    await happen(key, "seen", 1, OLD, anonymousId="anon-2")
    await roll_up()
    assert await seal_and_archive(api.settings) == 1
    told = await key.post("/v1/identify", json={"anonymousId": "anon-1", "userId": cast.owner.id})
    assert told.status_code < 300
    await roll_up()
    await carry_out_joins()
    (entry,) = await ArchivedDay.raw().find({}).to_list()
    assert await restore.restore_day(api.settings, "notes", f"{entry['day']:%Y-%m-%d}") == (8, 0)
    await cast.owner.delete("/v1/users/me")
    left = [row.get("anonymousId") for row in await Analytics.raw().find({}).to_list()]
    assert sorted(left, key=str) == [None, None, "anon-2"]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_setting_is_no_archive(empty: str) -> None:
    settings = Settings(analytics_archive=empty, analytics_archive_endpoint=empty)
    assert (settings.analytics_archive, settings.analytics_archive_endpoint) == (None, None)


async def test_nothing_is_sealed_before_its_time(make_api: MakeApi, tmp_path: Path) -> None:
    api = await make_api(analytics_archive=str(tmp_path), analytics_retention_days=30)
    cast = await enrol(api)
    await happen(cast.owner, "opened", 1, OLD)
    await archive.seal_due(api.settings, now())
    assert (
        await archive.due_days(now()) == []
    )  # not rolled up yet, and other processes do not know the seal yet
    assert await Seal.raw().count_documents({}) == 1
    row: Raw | None = await Erasure.raw().find_one({})
    assert row is None


async def test_what_cannot_be_archived_yet_is_told_with_the_reason_and_until_when(
    settings: Settings,
) -> None:
    trail, sealed_at = timedelta(seconds=15), now()
    await Analytics.raw().insert_one(event(0))
    await Seal.advance("notes", sealed_at - OLD / 2, sealed_at)
    await Seal.advance("empty", sealed_at - OLD / 2, sealed_at)

    async def told(as_of: datetime, moment: datetime = sealed_at) -> list[tuple[Any, ...]]:
        await RollupState.ensure()
        await RollupState.raw().update_one({}, {"$set": {"asOf": as_of}})
        assert await archive.due_days(moment) == [] or not await archive.waiting_apps(trail, moment)
        return [
            (each.app_id, each.as_of, each.until)
            for each in await archive.waiting_apps(trail, moment)
        ]

    assert await told(BEGINNING) == [("notes", BEGINNING, None)]
    just_before = sealed_at - timedelta(milliseconds=1)
    assert await told(just_before) == [
        ("notes", just_before, sealed_at + timedelta(minutes=5) + 2 * trail)
    ]
    assert await told(sealed_at) == [("notes", None, sealed_at + archive.SETTLED)]
    assert await told(sealed_at, sealed_at + archive.SETTLED) == []
    assert len(await archive.due_days(sealed_at + archive.SETTLED)) == 1


@pytest.mark.parametrize("behind", [0.001, 100, 299.999, 300, 314.999])
async def test_an_idle_worker_passes_a_seal_by_the_time_that_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, behind: float
) -> None:
    trail, sealed_at = timedelta(seconds=15), now()
    await RollupState.ensure()
    await RollupState.raw().update_one(
        {}, {"$set": {"asOf": sealed_at - timedelta(seconds=behind)}}
    )
    until = await advance.passes(sealed_at, trail)
    assert until is not None
    moment = [sealed_at]
    monkeypatch.setattr(advance, "now", lambda: moment[0])
    while (await RollupState.read()).as_of < sealed_at:
        if (following := await advance.due_next(trail)) > moment[0]:
            moment[0] = following
        else:
            await advance.advance(trail)
    assert moment[0] <= until


@pytest.mark.parametrize(
    "wrong",
    [
        {"analytics_archive": "gs://bucket"},
        {"analytics_archive": "s3://"},
        {"analytics_archive": "s3://bucket", "analytics_archive_access_key_id": "key"},
        {"analytics_archive": "s3://bucket", "analytics_archive_endpoint": "ftp://host"},
    ],
)
def test_settings_that_name_no_archive_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match=r"(?i)analytics_archive"):
        Settings(**wrong)


def test_the_secret_is_not_shown() -> None:
    settings = Settings(**bucket("https://s3.example.com", "archive"))
    assert SECRET not in repr(settings) + str(settings.model_dump())
    assert SECRET not in repr(archive_target.archive_target(settings))
