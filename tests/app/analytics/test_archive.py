"""The archive, in a folder and in a bucket of a real S3 server: whole, checked, without the erased; or nothing goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from bson import ObjectId
from moto.server import ThreadedMotoServer
from pydantic import SecretStr, ValidationError

from app.analytics import archive, archive_target
from app.analytics.archive_files import DamagedArchiveError
from app.analytics.archive_target import ArchiveUnavailableError, Bucket, Folder
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw, now, rfc3339
from models.erasure import Erasure
from models.seal import ArchivedDay, Seal
from tests.app.analytics.test_erasure import counts, happen, roll_up
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.harness import Api

OLD = timedelta(days=40)
SECRET = "s3-secret-that-nobody-sees"


@dataclass
class Place:
    """An archive as the test sees it, past Satchel."""

    settings: dict[str, Any]
    folder: Path | None = None
    url: str = ""

    def files(self) -> list[str]:
        if self.folder is not None:
            return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        listed = httpx.get(f"{self.url}?list-type=2&prefix=raw/").text
        return sorted(part.split("</Key>")[0].removeprefix("raw/") for part in listed.split("<Key>")[1:])

    def overwrite(self, name: str, content: bytes) -> None:
        if self.folder is not None:
            (self.folder / name).write_bytes(content)
        else:
            target = archive_target.archive_target(Settings(**self.settings))
            assert isinstance(target, Bucket)
            obstore.put(target._store, name, content)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def bucket(endpoint: str, name: str) -> dict[str, Any]:
    return {
        "analytics_archive": f"s3://{name}/raw",
        "analytics_archive_endpoint": endpoint,
        "analytics_archive_region": "eu-central-1",
        "analytics_archive_access_key_id": "key",
        "analytics_archive_secret_access_key": SecretStr(SECRET),
    }


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> Place:
    if request.param == "folder":
        return Place({"analytics_archive": str(tmp_path)}, folder=tmp_path)
    name = f"archive-{ObjectId()}"
    assert httpx.put(f"{s3}/{name}").status_code == 200
    return Place(bucket(s3, name), url=f"{s3}/{name}")


async def opened(make_api: MakeApi, place: Place) -> tuple[Api, Cast]:
    api = await make_api(**place.settings, analytics_retention_days=30, credential_cache_seconds=0)
    cast = await enrol(api)
    await happen(cast.owner, "opened", 3, OLD)
    await happen(cast.stranger, "opened", 2, OLD)
    await roll_up()
    return api, cast


async def seal_and_archive(settings: Settings) -> int:
    await archive.seal_due(settings, now() - 2 * archive.SETTLED)
    return await archive.archive_due(settings)


async def test_days_are_archived_restored_and_rewritten_without_the_erased(make_api: MakeApi, place: Place) -> None:
    api, cast = await opened(make_api, place)
    await happen(cast.stranger, "opened", 1)
    await roll_up()
    since = {"from": rfc3339(now() - timedelta(days=60))}
    assert await counts(cast, **since) == [{"eventName": "opened", "count": 6}]
    assert await seal_and_archive(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 1
    assert await counts(cast, **since) == [{"eventName": "opened", "count": 6}]  # rollups live on
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], day["removed"], place.files()) == (5, True, [day["file"]])
    if place.folder is not None:
        assert (place.folder / day["file"]).stat().st_mode & 0o777 == 0o600

    late = {"appId": "notes", "eventName": "late", "eventCategory": "custom", "timestamp": rfc3339(now() - OLD)}
    assert (await cast.owner.post("/v1/analytics/events", json=late)).json()["quarantined"] == 1

    await cast.owner.delete("/v1/users/me")
    assert await archive.rewrite_erased(api.settings) == 3
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], day["leftovers"], place.files()) == (2, [], [day["file"]])
    assert await archive.restore_day(api.settings, "notes", f"{day['day']:%Y-%m-%d}") == (2, 0)
    assert await Analytics.raw().count_documents({}) == 3
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
    assert await archive.restore_day(api.settings, "notes", name) == (2, 3)
    assert await Analytics.raw().count_documents({"userId": ObjectId(cast.owner.id)}) == 0
    place.overwrite(day["file"], b"damaged")
    with pytest.raises(DamagedArchiveError):
        await archive.restore_day(api.settings, "notes", name)
    with pytest.raises(KeyError):
        await archive.restore_day(api.settings, "notes", "2001-01-01")


async def test_what_is_not_as_it_was_written_removes_nothing(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _ = await opened(make_api, place)
    whole = archive_target.pack_rows
    with monkeypatch.context() as patch:
        patch.setattr(archive_target, "pack_rows", lambda rows, file: whole(rows[1:], file) + 1)
        with pytest.raises(DamagedArchiveError):
            await seal_and_archive(api.settings)
    assert await Analytics.raw().count_documents({}) == 5
    assert (await ArchivedDay.raw().count_documents({}), place.files()) == (0, [])
    assert await archive.archive_due(api.settings) == 1
    assert await Analytics.raw().count_documents({}) == 0


@pytest.mark.parametrize("kind", ["folder", "no bucket", "no service"])
async def test_what_cannot_be_written_removes_nothing(make_api: MakeApi, tmp_path: Path, s3: str, kind: str) -> None:
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
    assert isinstance(caught.value, ArchiveUnavailableError) == (kind == "no service")
    assert SECRET not in str(caught.value)
    assert await Analytics.raw().count_documents({}) == 5
    assert await ArchivedDay.raw().count_documents({}) == 0


async def test_a_rewriting_that_died_leaves_no_file_of_the_erased(
    make_api: MakeApi, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    await cast.owner.delete("/v1/users/me")

    def die(*_: Any) -> None:
        raise OSError("no connection")

    kind = Folder if place.folder is not None else Bucket
    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove", die)
        with pytest.raises(OSError, match="no connection"):
            await archive.rewrite_erased(api.settings)
    (day,) = await ArchivedDay.raw().find({}).to_list()
    assert (day["rows"], len(place.files()), len(day["leftovers"])) == (2, 2, 1)
    assert await archive.rewrite_erased(api.settings) == 0
    assert place.files() == [day["file"]]
    assert await archive.restore_day(api.settings, "notes", f"{day['day']:%Y-%m-%d}") == (2, 0)


async def test_of_two_processes_that_rewrite_a_day_one_steps_back(make_api: MakeApi, place: Place) -> None:
    api, cast = await opened(make_api, place)
    assert await seal_and_archive(api.settings) == 1
    await cast.owner.delete("/v1/users/me")
    (row,) = await ArchivedDay.raw().find({}).to_list()
    target = archive_target.archive_target(api.settings)
    stale = dict(row)
    assert await archive._rewrite_day(target, row) == 3
    assert not await archive._step(stale, {"leftovers": ["x"]})
    assert place.files() == [row["file"]]


async def test_nothing_is_sealed_before_its_time(make_api: MakeApi, tmp_path: Path) -> None:
    api = await make_api(analytics_archive=str(tmp_path), analytics_retention_days=30)
    cast = await enrol(api)
    await happen(cast.owner, "opened", 1, OLD)
    await archive.seal_due(api.settings, now())
    assert await archive.due_days(now()) == []  # not rolled up yet, and other processes do not know the seal yet
    assert await Seal.raw().count_documents({}) == 1
    row: Raw | None = await Erasure.raw().find_one({})
    assert row is None


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
