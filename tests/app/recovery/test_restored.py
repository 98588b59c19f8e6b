"""What people hold from before a restore is void after it: ETags, versions, cursors, sessions."""

import re
from pathlib import Path
from typing import Any

import httpx2
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.recovery.restored import RAISE, RAISED, finish_restore
from app.work import HOOKS
from models import AppData, RefreshToken, User
from models.deployment import Deployment
from tests.app.recovery.conftest import Command
from tests.cast import Cast
from tests.harness import Api, Caller, version_of

Raw = dict[str, Any]
DATA = "/v1/users/me/apps/notes/data"
AT_THE_END = ("app.recovery.pieces:Writing.finish", 1)
CHANGES = "/v1/users/me/apps/notes/changes"


async def put(caller: Caller, key: str, value: Any, **headers: str) -> httpx2.Response:
    return await caller.put(f"{DATA}/{key}", json=value, headers=headers)


def fresh(api: Api, cast: Cast) -> Caller:
    """The owner with a token from after the restore."""
    return api.token(cast.owner.id)


async def test_versions_etags_cursors_and_sessions_are_void(api: Api, cast: Cast) -> None:
    await put(cast.owner, "k", "backed up")
    tags = [(await put(cast.owner, "k", n)).headers["etag"] for n in ("lost", "lost too")]
    cursor = (await cast.owner.get(CHANGES)).json()["cursor"]
    await AppData.raw().update_one({}, {"$set": {"value": "backed up", "version": 1}})
    await RefreshToken.raw().insert_one({"userId": 1})
    report = await finish_restore(api.settings, HOOKS)
    assert (report.is_sound, report.epoch) == (True, 2)
    assert await RefreshToken.raw().count_documents({}) == 0
    answer = await cast.owner.merge("/v1/users/me", {"name": "Ann"})
    assert answer.status_code == 401, "a token from before"
    await cast.nobody.get("/readyz")  # which takes the epoch over

    api.app.state.leases.drop(ObjectId(cast.owner.id))  # as a server that is started anew
    owner = fresh(api, cast)
    answer = await owner.get(f"{DATA}/k", headers={"If-None-Match": tags[0]})
    assert (answer.status_code, answer.json()) == (200, "backed up")
    assert version_of(answer) == RAISE + 1
    for held in (*tags, '"1"', '"3"'):
        assert (await put(owner, "k", "unseen", **{"If-Match": held})).status_code == 412, held
    batch = {"atomic": True, "writes": [{"dataKey": "k", "value": "unseen", "ifVersion": 3}]}
    assert (await owner.post("/v1/users/me/apps/notes/batch", json=batch)).status_code == 412
    gone = await owner.get(CHANGES, params={"since": cursor})
    assert (gone.status_code, gone.json()["code"]) == (410, "cursor_expired")
    new = await put(owner, "made-since", 1)
    assert version_of(new) > RAISE, "a key that was made and lost has had versions, too"


async def test_a_damaged_version_keeps_no_database_from_being_restored(
    api: Api, cast: Cast
) -> None:
    damaged = {"_id": ObjectId(), "version": "x", "versionFloor": {}}
    await User.raw().insert_one(damaged)
    report = await finish_restore(api.settings, HOOKS)
    assert report.counts["documents whose version was raised"] > 0
    row = await User.raw().find_one({"_id": damaged["_id"]})
    assert row is not None
    assert (row["version"], row["versionFloor"]) == ("x", {})


async def test_no_server_is_ready_until_it_is_through(api: Api, cast: Cast) -> None:
    await Deployment.mark_restoring("a backup")
    answer = await cast.nobody.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "restored_unfinished")
    await finish_restore(api.settings, HOOKS)
    assert (await cast.nobody.get("/readyz")).json().get("code") != "restored_unfinished"


async def test_every_version_that_guards_a_write_is_raised(api: Api) -> None:
    """What 412 answers with says which documents clients hold versions of."""
    schemas = (await api.caller(None).get("/openapi.json")).json()["components"]["schemas"]
    guarded = {found[1] for name in schemas if (found := re.fullmatch(r"(\w+)Mismatch", name))}
    assert guarded - {each.__name__ for each in RAISED} == set(), "GUARDED = True is missing"
    assert len(guarded) >= 12


async def test_killed_backup_and_restore_are_begun_anew(
    database: AsyncDatabase[Raw],
    client: AsyncMongoClient[Raw],
    command: Command,
    tmp_path: Path,
) -> None:
    rows = [{"_id": number, "value": "x" * 1000} for number in range(3000)]
    await database["activities"].insert_many(rows)
    target, name = str(tmp_path / "backup"), f"{database.name}_restored"
    command(
        "backup",
        target,
        database=database.name,
        killed_at=("app.recovery.pieces:Writing.finish", 1),
    )
    assert list((tmp_path / "backup").iterdir()), "something is left of it"
    assert "no manifest" in command("restore", target, database=name, code=1)
    command("backup", target, database=database.name)
    assert not list((tmp_path / "backup").glob(".*")), "nothing is left of the killed one"
    try:
        command("restore", target, database=name, killed_at=("app.recovery.restore:_insert", 1))
        own = client[name]
        assert await own["deployments"].find_one({"_id": Deployment.MARK}) is not None
        await own["activities"].insert_one({"_id": "a half of it", "value": 1})
        command(
            "restore", target, database=name, killed_at=("app.recovery.restored:_raise_versions", 1)
        )
        assert await own["deployments"].find_one({"_id": Deployment.MARK}) is not None
        told = command("restore", target, database=name)
        assert "3,000 documents restored" in told
        assert await own["activities"].find({}).sort("_id", 1).to_list() == rows
        assert await own["deployments"].find_one({"_id": Deployment.MARK}) is None
    finally:
        await client.drop_database(name)
