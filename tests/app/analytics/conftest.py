"""The archive's two places, events that are old enough for it, and rollups that are or are not."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.analytics.archive import days as archive_days
from app.analytics.archive import entry as archive_entry
from app.analytics.archive import seal_days as archive
from app.analytics.rollup import advance as rollup
from app.analytics.rollup.advance import advance
from app.settings import Settings
from app.storage import store_at, write
from models.base import Raw, now
from models.rollup_state import RollupState
from models.seal import ArchivedDay
from tests.app.analytics.histories import Clock
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.factories.asking import START
from tests.factories.buckets import bucket, new_bucket
from tests.factories.events import happen, roll_up
from tests.harness import Api

OLD = timedelta(days=40)


@dataclass
class Place:
    """An archive as the test sees it, past Satchel."""

    settings: dict[str, Any]
    folder: Path | None = None
    url: str = ""

    def files(self) -> list[str]:
        if self.folder is not None:
            return sorted(
                str(path.relative_to(self.folder))
                for path in self.folder.rglob("*")
                if path.is_file()
            )
        listed = httpx2.get(f"{self.url}?list-type=2&prefix=raw/").text
        return sorted(
            part.split("</Key>")[0].removeprefix("raw/") for part in listed.split("<Key>")[1:]
        )

    def overwrite(self, name: str, content: bytes) -> None:
        if self.folder is not None:
            (self.folder / name).write_bytes(content)
        else:
            settings = Settings(**self.settings)
            write(store_at(settings, self.settings["analytics_archive"]), name, content)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> Place:
    if request.param == "folder":
        return Place({"analytics_archive": str(tmp_path)}, folder=tmp_path)
    name = new_bucket(s3)
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


async def states() -> list[str]:
    return [row["state"] for row in await ArchivedDay.raw().find({}).to_list()]


def file_of(entry: Raw) -> str:
    """The file of a day that has one."""
    (part,) = entry["parts"]
    return str(part["file"])


SMALL = 4
"""Events of a part in tests of days that are large then."""


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_days, "PART_EVENTS", SMALL)
    for module in (archive_days, archive_entry):
        monkeypatch.setattr(module, "BATCH", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """An archive in a folder."""
    return Place({"analytics_archive": str(tmp_path / "archive")}, folder=tmp_path / "archive")


@pytest.fixture
async def settings(make_api: MakeApi, folder: Place) -> Settings:
    """Of a Satchel with an archive in `folder`."""
    return (await make_api(**folder.settings, analytics_retention_days=30)).settings


@pytest.fixture(params=["rolled up", "raw"])
async def settle(request: pytest.FixtureRequest) -> Any:
    """Every query is asked of rollups, and of unrolled events alone: the answers are the same."""

    async def roll_up() -> None:
        if request.param == "rolled up":
            while await advance(timedelta(milliseconds=-5)):
                continue
            assert (await RollupState.read()).as_of > START

    return roll_up


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the worker goes by."""
    clock = Clock()
    monkeypatch.setattr(rollup, "now", clock)
    return clock
