"""The purge forgets old tombstones, and no version of a key comes twice for it."""

from datetime import timedelta
from typing import Any
from typing import cast as cast_to

import pytest
from bson import ObjectId
from bson import Timestamp as ClusterTime
from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim, claim
from app.jobs.periodic import ensure_periodic
from app.relations.leases import leases
from app.settings import Settings
from app.sync.cursor import Cursor, decode, encode
from app.sync.upkeep.purge import _wait_for_writes, purge
from app.sync.upkeep.repair import repair
from models.app_data_changes import Source
from models.base import Raw, now
from tests.cast import Cast
from tests.factories.app_data import DATA
from tests.factories.changes import CHANGES, follow, put, told
from tests.harness import Api


@pytest.fixture
def settings(base_settings: Settings) -> Settings:
    return base_settings.model_copy(update={"lease_seconds": 0.01, "deletion_fence_seconds": 0})


async def held(kind: str = "purge-tombstones") -> Claim:
    await ensure_periodic(kind, kind, 3600)
    found = await claim([kind])
    assert found is not None
    return found


async def age(database: AsyncDatabase[Raw], days: float, **where: Any) -> None:
    """Have rows be stamped so long ago."""
    stamp = ClusterTime(int((now() - timedelta(days=days)).timestamp()), 1)
    await database.appdata.update_many(where, {"$set": {"changedAt": stamp}})


async def deleted(cast: Cast, *keys: str, times: int = 1) -> None:
    for _ in range(times):
        await put(cast.owner, *keys)
        for key in keys:
            assert (await cast.owner.delete(f"{DATA}/{key}")).status_code == 204


async def keys(database: AsyncDatabase[Raw]) -> list[str]:
    return sorted([row["dataKey"] async for row in database.appdata.find()])


async def test_old_tombstones_go_and_all_else_stays(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings
) -> None:
    await deleted(cast, "old", "young")
    await put(cast.owner, "live")
    await age(database, 31, dataKey={"$in": ["old", "live"]})
    await age(database, 29, dataKey="young")
    assert await purge(await held(), settings) == 1
    assert await keys(database) == ["live", "young"]


async def test_a_key_that_was_purged_counts_on(
    cast: Cast, api: Api, database: AsyncDatabase[Raw], settings: Settings
) -> None:
    await deleted(cast, "often", times=3)
    await deleted(cast, "once")
    await age(database, 31)
    await purge(await held(), settings)
    assert await keys(database) == []
    leases({"app": api.app}).drop(
        ObjectId(cast.owner.id)
    )  # as it would run out by itself within the wait
    made = await cast.owner.put(f"{DATA}/often", json=1)
    assert (made.status_code, made.json()["version"]) == (201, 7)
    assert (await cast.owner.put(f"{DATA}/often", json=2)).json()["version"] == 8
    absent = await cast.owner.put(f"{DATA}/once", json=1, headers={"If-None-Match": "*"})
    assert (absent.status_code, absent.json()["version"]) == (201, 7)
    writes = [
        {"dataKey": "batched", "value": 1},
        {"dataKey": "gone", "delete": True, "mutationId": "m1"},
    ]
    answer = await cast.owner.post(CHANGES.replace("/changes", "/batch"), json={"writes": writes})
    assert [each["version"] for each in answer.json()["results"][:1]] == [7]
    assert {row["dataKey"]: row["version"] async for row in database.appdata.find()}["batched"] == 7
    stranger = await cast.stranger.put(f"{DATA}/often", json=1)
    assert stranger.json()["version"] == 1


async def test_a_tombstone_that_was_written_anew_meanwhile_stays(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deleted(cast, "a", "b")
    await age(database, 31)

    async def meanwhile(_: float) -> None:
        await deleted(cast, "a")

    monkeypatch.setattr("app.sync.upkeep.purge.sleep", meanwhile)
    assert await purge(await held(), settings) == 1
    assert await keys(database) == ["a"]


async def test_a_purge_that_was_killed_begins_again(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deleted(cast, "a")
    await age(database, 31)
    with monkeypatch.context() as patched, pytest.raises(InterruptedError):

        async def killed(_: float) -> None:
            raise InterruptedError

        patched.setattr("app.sync.upkeep.purge.sleep", killed)
        await purge(await held(), settings)
    assert await keys(database) == ["a"]
    assert await purge(await held("another"), settings) == 1


class _Clock:
    """A clock that goes on by waiting, and by answers of a database that stops once."""

    def __init__(self, stops_at: float, stops_for: float) -> None:
        self.now, self._stops_at, self._stops_for = 0.0, stops_at, stops_for

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def renew(self) -> None:
        if self.now >= self._stops_at:
            self.now, self._stops_at = self.now + self._stops_for, float("inf")


@pytest.mark.parametrize(
    ("stops_at", "stops_for", "waited"),
    [(9999, 0, 125), (50, 30, 125), (100, 10, 130), (124, 600, 744)],
)
async def test_tombstones_stay_until_the_database_has_answered_for_a_while(
    monkeypatch: pytest.MonkeyPatch, stops_at: float, stops_for: float, waited: float
) -> None:
    """What was sent to a database that stops is done when it goes on: a floor of before among
    it."""
    clock = _Clock(stops_at, stops_for)
    monkeypatch.setattr("app.sync.upkeep.purge.sleep", clock.sleep)
    monkeypatch.setattr("app.sync.upkeep.purge.monotonic", lambda: clock.now)
    await _wait_for_writes(cast_to(Claim, clock), 125)
    assert waited <= clock.now <= waited + 2


async def test_one_wait_is_for_many_apps(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for app in ("boats", "cards", "notes"):
        path = DATA.replace("notes", app)
        for key in ("a", "b"):
            await cast.owner.put(f"{path}/{key}", json=1)
            await cast.owner.delete(f"{path}/{key}")
    await age(database, 31)
    waits: list[float] = []

    async def counted(_: Claim, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("app.sync.upkeep.purge._wait_for_writes", counted)
    monkeypatch.setattr("app.sync.upkeep.purge._AT_ONCE", 5)
    assert await purge(await held(), settings) == 6
    assert (len(waits), await keys(database)) == (2, [])
    assert await database.appusage.count_documents({"floor": 2}) == 3


async def test_an_app_says_how_long_tombstones_are_kept(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings
) -> None:
    assert (await cast.admin.put("/v1/apps/notes", json={"tombstoneDays": 2})).status_code == 201
    await deleted(cast, "a", "b")
    await age(database, 3, dataKey="a")
    assert await purge(await held(), settings) == 1
    assert await keys(database) == ["b"]


async def test_a_cursor_from_before_a_purge_has_expired_though_the_app_keeps_them_for_longer_now(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings
) -> None:
    await cast.admin.put("/v1/apps/notes", json={"tombstoneDays": 2})
    await deleted(cast, "a")
    await age(database, 3)
    await purge(await held(), settings)
    await cast.admin.put("/v1/apps/notes", json={"tombstoneDays": 9})
    source = Source(ObjectId(cast.owner.id), "notes")
    for days, status in ((3, 410), (1, 200)):
        at = ClusterTime(int((now() - timedelta(days=days)).timestamp()), 1)
        answer = await cast.owner.get(CHANGES, params={"since": encode(Cursor(at=at), source)})
        assert answer.status_code == status, answer.text


async def test_a_user_who_is_gone_is_in_nobodys_way(
    cast: Cast, database: AsyncDatabase[Raw], settings: Settings
) -> None:
    await deleted(cast, "a")
    await age(database, 31)
    await database.users.delete_one({"_id": ObjectId(cast.owner.id)})
    assert await purge(await held(), settings) == 1
    assert await database.appusage.count_documents({}) == 0


async def test_what_was_stamped_long_before_it_committed_is_stamped_anew(
    cast: Cast, database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a clock that was put forward leaves it: an old stamp, which a cursor of today never looks
    at again."""
    await put(cast.owner, "a", "b")
    await repair(await held("first"))
    _, cursor = await follow(cast.owner)
    job = await held("repair-stamps")
    job.job.progress["token"] = (await database.jobs.find_one({"_id": "first"}) or {})["progress"][
        "token"
    ]
    old = ClusterTime(decode(cursor, ObjectId(cast.owner.id), "notes").at.time - 1000, 1)  # type: ignore[union-attr]
    await database.appdata.update_one({"dataKey": "a"}, {"$set": {"changedAt": old, "version": 2}})
    assert (await follow(cast.owner, cursor))[0] == []
    assert await repair(job) == 1
    assert told((await follow(cast.owner, cursor))[0]) == [("a", 2, 1)]


async def test_a_repair_whose_oplog_is_gone_goes_on_from_now(
    cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    job = await held("repair-stamps")
    job.job.progress["token"] = {"_data": "826000000000000001"}
    assert await repair(job) == 0
    found = await database.jobs.find_one({"_id": "repair-stamps"})
    assert found is not None and found["progress"]["token"] != job.job.progress["token"]
