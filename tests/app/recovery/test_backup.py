"""A backup is one snapshot, is there once it is whole, and comes back as it was."""

import asyncio
import json
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.database import transaction
from app.recovery import backup, pieces
from app.recovery.backup import BackupRefusedError, back_up
from app.recovery.manifest import NAME, Manifest, NoBackupError
from app.recovery.pieces import DamagedBackupError
from app.recovery.restore import NotEmptyError, restore
from app.settings import Settings
from app.storage import FolderStore, store_at
from indexes import sync
from models.deployment import Deployment
from tests.factories.buckets import bucket, new_bucket

Raw = dict[str, Any]
MANY = 1500


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "backup")


@pytest.fixture
async def filled(database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Some documents of odd kinds, in pieces of a few kilobytes."""
    monkeypatch.setattr(backup, "PIECE_BYTES", 1000)
    rows = [
        {"_id": number, "dataKey": str(number), "value": {"$ref": number, "a.b": "ä" * 40}}
        for number in range(MANY)
    ]
    await database["appdata"].insert_many(rows)
    await database["users"].insert_one({"_id": bson.ObjectId(), "name": "Ann", "version": 3})
    yield database
    await sync.apply(database, await sync.plan(database))  # others go on with it


def damage(path: Path) -> None:
    """Change the last byte of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


async def content(database: AsyncDatabase[Raw]) -> Raw:
    names = [name for name in await database.list_collection_names() if "system." not in name]
    found = {name: await database[name].find({}).sort("_id", 1).to_list() for name in names}
    return {name: rows for name, rows in found.items() if rows and name != "deployments"}


async def test_what_is_restored_is_what_was_there(
    filled: AsyncDatabase[Raw], store: FolderStore, client: AsyncMongoClient[Raw]
) -> None:
    before = await content(filled)
    wanted = await filled["users"].index_information()
    epoch = await Deployment.epoch()
    made = await back_up(filled, store, "test")
    assert made.documents == MANY + 2
    assert len([each for each in made.pieces if each.name.startswith("appdata")]) == 2
    await client.drop_database(filled.name)
    try:
        await restore(filled, store, Manifest.of(store))
        assert await content(filled) == before
        assert await filled["users"].index_information() == wanted
        assert (await Deployment.epoch(), await Deployment.is_restoring()) == (epoch, True)
    finally:
        await Deployment.raw().delete_many({})


async def test_a_bucket_keeps_a_backup_as_well(
    filled: AsyncDatabase[Raw],
    client: AsyncMongoClient[Raw],
    s3: str,
    base_settings: Settings,
) -> None:
    name = new_bucket(s3)
    settings = base_settings.model_copy(update=bucket(s3, name))
    store = store_at(settings, f"s3://{name}/backups/1")
    before = await content(filled)
    await back_up(filled, store, "test")
    with pytest.raises(BackupRefusedError, match="another place"):
        await back_up(filled, store, "test")
    await client.drop_database(filled.name)
    try:
        await restore(filled, store, Manifest.of(store))
        assert await content(filled) == before
    finally:
        await Deployment.raw().delete_many({})


async def test_every_piece_is_bson_that_other_tools_read(
    filled: AsyncDatabase[Raw], store: FolderStore
) -> None:
    made = await back_up(filled, store, "test")
    found: list[Any] = []
    for piece in made.pieces:
        if piece.name.startswith("appdata"):
            packed = (store.path / piece.name).read_bytes()
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
            found += bson.decode_all(plain)
    assert [row["_id"] for row in found] == list(range(MANY))


async def test_a_backup_among_writers_is_of_one_moment(
    database: AsyncDatabase[Raw],
    store: FolderStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two documents of two collections change together, all the while."""
    pair = (database["users"], database["profiles"])
    for each in pair:
        await each.insert_one({"_id": bson.ObjectId(b"twins" + bytes(7)), "n": 0, "userId": 1})
    stop, rounds, real = asyncio.Event(), 0, backup._part

    async def change() -> None:
        nonlocal rounds
        while not stop.is_set():

            async def both(session: Any) -> None:
                for each in pair:
                    await each.update_one({}, {"$inc": {"n": 1}}, session=session)

            await transaction(both)
            rounds += 1

    async def slow(*args: Any) -> Any:
        before = rounds
        while rounds == before:  # so that something has changed between any two collections
            await asyncio.sleep(0)
        return await real(*args)

    monkeypatch.setattr(backup, "_part", slow)
    writer = asyncio.create_task(change())
    try:
        made = await back_up(database, store, "test")
    finally:
        stop.set()
        await writer
    kept = {}
    for part in made.parts:
        for piece in part.pieces:
            for batch in pieces.documents_of(store, piece, 1):
                kept[part.name] = [row["n"] for row in batch if "n" in row]
    assert kept["users"] == kept["profiles"]
    assert rounds > len(made.parts)


async def test_a_place_has_one_backup(filled: AsyncDatabase[Raw], store: FolderStore) -> None:
    await back_up(filled, store, "test")
    with pytest.raises(BackupRefusedError, match="another place"):
        await back_up(filled, store, "test")


@pytest.mark.parametrize("name", ["notes.txt", "2026-11-28/manifest.json", "2026-11-28/a.bson.zst"])
async def test_a_place_that_holds_something_else_is_left_as_it_is(
    filled: AsyncDatabase[Raw], store: FolderStore, name: str
) -> None:
    """Where earlier backups are below it, they had been taken for the rest of one that was
    killed."""
    for each in ("users.00000.bson.zst", ".half.0123abcd", name, "2026-11-28/users.00000.bson.zst"):
        (store.path / each).parent.mkdir(parents=True, exist_ok=True)
        (store.path / each).write_text("kept")
    before = sorted(store.path.rglob("*"))
    with pytest.raises(BackupRefusedError, match=r"2026-11-28.*for it alone"):
        await back_up(filled, store, "test")
    assert sorted(store.path.rglob("*")) == before


async def test_what_is_left_of_one_that_was_killed_goes(
    filled: AsyncDatabase[Raw], store: FolderStore
) -> None:
    store.path.mkdir()
    for name in ("gone.00012.bson.zst", ".users.00000.bson.zst.0123abcd"):
        (store.path / name).write_text("half")
    made = await back_up(filled, store, "test")
    assert {each.name for each in store.path.iterdir()} == {NAME, *(p.name for p in made.pieces)}


async def test_what_is_damaged_is_told_and_nothing_of_the_file_is_restored(
    filled: AsyncDatabase[Raw], store: FolderStore, client: AsyncMongoClient[Raw]
) -> None:
    made = await back_up(filled, store, "test")
    await client.drop_database(filled.name)
    piece = next(each for each in made.pieces if each.name.startswith("users"))
    path = store.path / piece.name
    damage(path)
    with pytest.raises(DamagedBackupError, match="users"):
        await restore(filled, store, Manifest.of(store))
    assert await filled["users"].find_one({}) is None
    assert await Deployment.is_restoring(), "no server is ready"
    await Deployment.raw().delete_many({})


async def test_a_damaged_backup_replaces_nothing(
    filled: AsyncDatabase[Raw], store: FolderStore
) -> None:
    made = await back_up(filled, store, "test")
    path = store.path / list(made.pieces)[-1].name
    damage(path)
    before, seen = await content(filled), list[int]()
    with pytest.raises(DamagedBackupError, match="changed or damaged"):
        await restore(filled, store, Manifest.of(store), replace=True, checked=seen.append)
    assert (await content(filled), await Deployment.is_restoring()) == (before, False)
    assert seen == [each.packed for each in made.pieces][:-1]


@pytest.mark.parametrize("fault", ["gone", "changed", "piece", "text"])
async def test_a_manifest_that_is_not_whole_is_no_backup(
    filled: AsyncDatabase[Raw], store: FolderStore, fault: str
) -> None:
    made = await back_up(filled, store, "test")
    path = store.path / NAME
    if fault == "gone":
        path.unlink()
    elif fault == "changed":
        body = json.loads(path.read_text())
        body["backup"]["parts"][0]["name"] += "x"
        path.write_text(json.dumps(body))
    elif fault == "piece":
        (store.path / next(made.pieces).name).unlink()
    else:
        path.write_text("{")
    with pytest.raises(NoBackupError):
        Manifest.of(store)


async def test_a_restore_overwrites_nothing_unasked(
    filled: AsyncDatabase[Raw], store: FolderStore
) -> None:
    await back_up(filled, store, "test")
    before = await content(filled)
    with pytest.raises(NotEmptyError, match="not empty"):
        await restore(filled, store, Manifest.of(store))
    assert (await content(filled), await Deployment.is_restoring()) == (before, False)
    await filled["profiles"].insert_one({"_id": 1, "userId": 1})
    await restore(filled, store, Manifest.of(store), replace=True)
    assert await content(filled) == before
    await Deployment.raw().delete_many({})
