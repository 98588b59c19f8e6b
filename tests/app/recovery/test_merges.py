"""Merges that are cut short, and merges that a restored backup knows nothing of."""

from datetime import timedelta
from typing import Any

from bson import ObjectId

from app.ledger import Ledger, write_out
from app.recovery.replay import replay
from app.relations.sweep import sweep
from app.work import HOOKS
from models import DOCUMENTS, Activity, Deletion
from models.base import Raw, now
from models.job import Job
from models.user import User
from tests.app.recovery.conftest import Command
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import add_activities, ledger_of, orphans_of
from tests.harness import Api, Caller

NOTES = "/v1/users/me/apps/notes/data"


async def merge(admin: Caller, source: str, into: str) -> Any:
    return await admin.post(
        f"/v1/users/{source}/merge", json={"into": into, "keep": {"appData": "source"}}
    )


async def test_a_killed_merge_is_gone_on_with(
    make_api: MakeApi, database: Any, command: Command
) -> None:
    api = await make_api(deletion_inline_seconds=-1)
    admin = await api.key("admin")
    source, target = [(await admin.post("/v1/users", json={})).json()["id"] for _ in range(2)]
    for number in range(120):
        await api.token(source).put(f"{NOTES}/k{number}", json=number)
    await add_activities(ObjectId(source), 250)
    assert (await merge(admin, source, target)).status_code == 202
    await Job.raw().update_one({"_id": ObjectId(source)}, {"$set": {"runAt": now()}})
    later = {"$set": {"nextSweepAt": now() + timedelta(hours=1)}}  # or it is at work, too
    await Deletion.raw().update_one({"_id": ObjectId(source)}, later)
    killed = ("app.relations.merging.carry:_batch", 4)  # of activities the third
    command("worker", database=database.name, killed_at=killed)
    half = await Activity.raw().count_documents({"userId": ObjectId(target)})
    assert half == 200
    ledger = await ledger_of(ObjectId(source))
    assert (ledger.swept, (ledger.moved or {})["activities"]) == (False, half)
    await sweep(ledger, HOOKS)
    assert await orphans_of(ObjectId(source)) == {}
    listed = (await api.token(target).get(NOTES, params={"limit": 200})).json()["items"]
    assert {each["dataKey"]: each["value"] for each in listed} == {
        f"k{number}": number for number in range(120)
    }
    ledger = await ledger_of(ObjectId(source))
    assert (ledger.swept, ledger.moved) == (True, {"activities": 250, "appdata": 120})


async def rows_of_all() -> dict[Any, list[Raw]]:
    return {
        document: await document.raw().find({}).to_list()
        for document in DOCUMENTS
        if document.collection_name() not in ("deployments", "locks")
    }


async def restore(rows: dict[Any, list[Raw]]) -> None:
    for document, found in rows.items():
        await document.raw().delete_many({})
        if found:
            await document.raw().insert_many(found)


async def replayed(api: Api) -> dict[str, int]:
    return dict(await replay(api.settings, HOOKS, lambda _: None))


async def test_a_restored_backup_brings_nobody_back_who_was_merged(api: Api, cast: Cast) -> None:
    await cast.owner.put(f"{NOTES}/k", json="mine")
    await cast.stranger.put(f"{NOTES}/k", json="theirs")
    backup = await rows_of_all()
    keep = {"into": cast.stranger.id, "keep": "source"}
    await cast.admin.post(f"/v1/users/{cast.owner.id}/merge", json=keep)
    await write_out(api.settings)
    await restore(backup)
    assert (await replayed(api))["people merged again"] == 1
    assert await User.raw().find_one({"_id": ObjectId(cast.owner.id)}) is None
    assert (await cast.stranger.get(f"{NOTES}/k")).json() == "mine"
    assert (await cast.admin.get(f"/v1/users/{cast.owner.id}")).json()["into"] == cast.stranger.id
    assert (await replayed(api)).get("people merged again", 0) == 0


async def test_who_is_all_that_is_left_of_a_person_stays_until_the_person_goes(
    api: Api, cast: Cast
) -> None:
    """The backup is older than the one whom they were merged into."""
    backup = await rows_of_all()
    target = (await cast.admin.post("/v1/users", json={})).json()["id"]
    await cast.owner.put(f"{NOTES}/k", json="mine")
    assert (await merge(cast.admin, cast.owner.id, target)).status_code == 200
    await write_out(api.settings)
    await restore(backup)
    assert (await replayed(api)).get("people merged again", 0) == 0
    assert (await cast.owner.get("/v1/users/me")).status_code == 200
    await cast.admin.delete(f"/v1/users/{target}")  # not there: 404
    await Deletion.raw().delete_many({})
    await note_deleted(api, target)
    await replayed(api)
    assert (await cast.owner.get("/v1/users/me")).status_code == 404


async def note_deleted(api: Api, user_id: str) -> None:
    note = {"kind": "deleted", "subject": ObjectId(user_id), "root": "users", "at": now()}
    Ledger.of(api.settings).add(10**6, [note])
