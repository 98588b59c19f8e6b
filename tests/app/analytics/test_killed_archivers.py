"""An archiving, a rewriting and a restore of a large day, each killed at every step that leaves
something behind."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from app.analytics.archive import restore
from app.analytics.archive import seal_days as archive
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw
from models.day import CountDay, PeopleDay, SessionDay
from models.erasure import Erasure
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal
from models.session import VisitSession
from tests.app.analytics.conftest import Place
from tests.app.analytics.kills import Killed, Killer
from tests.app.analytics.large_days import NAME, entry, event, in_files, planted, rollups, stored

pytestmark = pytest.mark.usefixtures("small_parts")


async def _archived(settings: Settings) -> None:
    await archive.archive_due(settings)


async def _restored(settings: Settings) -> None:
    await restore.restore_day(settings, "notes", NAME)


async def _rewritten(settings: Settings) -> None:
    await archive.rewrite_erased(settings)


async def killed_everywhere(
    work: Callable[[], Awaitable[Any]], killer: Killer, again: Callable[[int], Awaitable[None]]
) -> AsyncIterator[int]:
    """Do something again and again, killed at one step after another, until it is done before it is
    killed."""
    number = 0
    while True:
        number += 1
        await again(number)
        killer.at(number)
        try:
            await work()
        except Killed:
            killer.at(10**9)
            yield number
        else:
            killer.at(10**9)
            return


async def cleared(settings: Settings, folder: Place) -> list[Raw]:
    for document in (
        Analytics,
        ArchivedDay,
        Seal,
        CountDay,
        PeopleDay,
        SessionDay,
        VisitSession,
        Erasure,
        RollupState,
    ):
        await document.raw().delete_many({})
    for name in folder.files():
        (Path(settings.analytics_archive or "") / name).unlink()
    return await planted(settings, [event(minute) for minute in range(9)])


async def test_an_archiving_that_is_killed_at_any_step_loses_and_doubles_nothing(
    settings: Settings, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer, before, rolled_up = Killer(monkeypatch), list[Raw](), list[Any]()

    async def again(_: int) -> None:
        before[:] = await cleared(settings, folder)
        rolled_up[:] = await rollups()

    kills = 0
    async for number in killed_everywhere(lambda: _archived(settings), killer, again):
        kills += 1
        left = {row["_id"] for row in await stored()}
        if (await ArchivedDay.raw().find_one({}) or {}).get("state") == "written":
            assert await in_files(settings) == before, number
        else:
            assert len(left) == 9, number
        await _archived(settings)
        await _archived(settings)
        assert (await stored(), await in_files(settings), await rollups()) == (
            [],
            before,
            rolled_up,
        ), number
        day = await entry()
        assert (day["rows"], day["removed"], day["leftovers"]) == (9, True, []), number
        visible = [name for name in folder.files() if not Path(name).name.startswith(".")]
        assert visible == sorted(part["file"] for part in day["parts"]), number
    assert kills > 20


async def test_a_restore_that_is_killed_at_any_step_goes_on_where_it_was(
    settings: Settings, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await planted(settings, [event(minute) for minute in range(9)])
    await _archived(settings)
    killer = Killer(monkeypatch)

    async def again(_: int) -> None:
        await restore.release_days("notes", NAME, NAME)
        await _archived(settings)
        assert await stored() == []

    kills = 0
    async for number in killed_everywhere(lambda: _restored(settings), killer, again):
        kills += 1
        held = await ArchivedDay.find_held() != set()
        back = len(await stored())
        assert held or back == 0, "what is back is held"
        if held:
            await _archived(settings)
        restored, left = await restore.restore_day(settings, "notes", NAME)
        assert (restored, left) == (9 - back, back), number
        assert await stored() == before, number
    assert kills > 8


async def test_a_rewriting_that_is_killed_at_any_step_leaves_nobody_who_was_erased(
    settings: Settings, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer, user = Killer(monkeypatch), ObjectId()

    async def again(_: int) -> None:
        await cleared(settings, folder)
        await Analytics.raw().update_many({"anonymousId": "a-1"}, {"$set": {"userId": user}})
        await _archived(settings)
        await Erasure(id=user).add()  # type: ignore[arg-type]

    async for number in killed_everywhere(lambda: _rewritten(settings), killer, again):
        await _rewritten(settings)
        await _rewritten(settings)
        left = await in_files(settings)
        assert [row["anonymousId"] for row in left].count("a-1") == 0, number
        assert (len(left), (await entry())["rows"], (await entry())["leftovers"]) == (
            6,
            6,
            [],
        ), number
        visible = [name for name in folder.files() if not Path(name).name.startswith(".")]
        assert visible == sorted(part["file"] for part in (await entry())["parts"]), number
