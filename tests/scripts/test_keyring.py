"""`python -m scripts keyring`: rotate, re-encrypt, stop half way, go on, remove the old key."""

import asyncio
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from beanie import PydanticObjectId
from pydantic import SecretStr
from pymongo.asynchronous.database import AsyncDatabase

from app.database import transaction
from app.errors import Unavailable
from app.outside.key_files import Watched
from app.outside.keyring import KeyRing, Keys, SealedError, UnknownKey, load_keyring, read_keys
from app.settings import Settings, load_settings
from models.connection import Connection
from models.outside_link import OutsideLink
from models.sealed import Sealed
from scripts import keyring as command
from tests.factories.keyrings import COUNT, a_connection, furnish, in_thread, run


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_settings: Settings, mongodb_uri: str
) -> Iterator[Path]:
    monkeypatch.setenv("SATCHEL_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("SATCHEL_DATABASE", base_settings.database)
    monkeypatch.setenv("SATCHEL_DATA_DIR", str(tmp_path))
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


def ring_of(folder: Path) -> KeyRing:
    path = folder / "keyring.json"
    return KeyRing(Watched(path, read_keys))


async def opened(ring: KeyRing) -> list[str]:
    """Every secret that is stored."""
    found = []
    for document, field in command.SEALED_FIELDS:
        name = command.stored_name(field)
        for row in await document.raw().find({name: {"$exists": True}}).to_list():
            place = document.place_in(row, field)
            found.append(ring.open(Sealed(row[name]), place).get_secret_value())
    return sorted(found)


@pytest.fixture
async def rebound(database: AsyncDatabase[Any], client: Any, base_settings: Settings) -> Any:
    """Bind the documents to this test's client again after a command has bound them to its own."""
    from app.database import bind

    async def again() -> None:
        await bind(client, base_settings)

    return again


async def test_after_rotation_and_reencryption_the_old_key_can_go(
    folder: Path, rebound: Any
) -> None:
    assert (await in_thread("rotate")).exit_code == 0
    old = ring_of(folder)
    await furnish(old)
    before = await opened(old)
    rotated = await in_thread("rotate")
    assert rotated.exit_code == 0
    new = ring_of(folder)
    assert (len(new.key_ids()), new.current != old.current, new.current in rotated.output) == (
        2,
        True,
        True,
    )
    assert await opened(new) == before
    early = await in_thread("remove", old.current)
    await rebound()
    assert (early.exit_code, "still sealed" in early.output) == (1, True)
    done = await in_thread("reencrypt")
    await rebound()
    assert (done.exit_code, f"{len(before)} re-encrypted" in done.output) == (0, True)
    status = await in_thread("status")
    await rebound()
    assert (status.exit_code, new.current in status.output, "MISSING" in status.output) == (
        0,
        True,
        False,
    )
    removed = await in_thread("remove", old.current)
    await rebound()
    assert removed.exit_code == 0, removed.output
    alone = ring_of(folder)
    assert alone.key_ids() == [new.current]
    assert await opened(alone) == before
    assert await Connection.raw().distinct("version") == [1]
    assert (await in_thread("remove", new.current)).exit_code == 1


async def test_reencryption_that_is_stopped_half_way_goes_on(
    folder: Path, rebound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread("rotate")
    await furnish(ring_of(folder))
    await in_thread("rotate")
    ring, real, left = ring_of(folder), command.reseal, iter(range(COUNT // 2))

    async def dying(*arguments: Any) -> bool:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return await real(*arguments)

    monkeypatch.setattr(command, "reseal", dying)
    stopped = await in_thread("reencrypt")
    await rebound()
    assert stopped.exit_code != 0
    done = await Connection.raw().count_documents({"accessToken.k": ring.current})
    assert done == COUNT // 2
    monkeypatch.setattr(command, "reseal", real)
    again = await in_thread("reencrypt")
    await rebound()
    assert again.exit_code == 0
    assert f"{COUNT - COUNT // 2 + 4} re-encrypted" in again.output
    assert len(await opened(ring)) == COUNT + 4


async def test_a_value_that_changes_meanwhile_is_left_as_it_is(folder: Path, database: Any) -> None:
    await in_thread("rotate")
    ring = ring_of(folder)
    await furnish(ring)
    row: Any = await Connection.raw().find_one({})
    place = Connection.place_in(row, "access_token")
    fresh = ring.seal(SecretStr("newer"), place).stored()
    await Connection.raw().update_one({"_id": row["_id"]}, {"$set": {"accessToken": fresh}})
    assert await command.reseal(Connection, "access_token", row, ring) is False
    after: Any = await Connection.raw().find_one({"_id": row["_id"]})
    assert ring.open(Sealed(after["accessToken"]), place).get_secret_value() == "newer"


async def test_tokens_swapped_in_the_database_do_not_open_and_are_named(
    folder: Path, rebound: Any
) -> None:
    await in_thread("rotate")
    ring = ring_of(folder)
    await furnish(ring)
    one, other = await Connection.raw().find({}).limit(2).to_list()
    for row, swapped in ((one, other), (other, one)):
        await Connection.raw().update_one(
            {"_id": row["_id"]}, {"$set": {"accessToken": swapped["accessToken"]}}
        )
        with pytest.raises(SealedError, match=str(row["_id"])):
            ring.open(Sealed(swapped["accessToken"]), Connection.place_in(row, "access_token"))
    await in_thread("rotate")
    done = await in_thread("reencrypt")
    await rebound()
    assert done.exit_code == 1
    assert str(one["_id"]) in done.output
    assert str(other["_id"]) in done.output
    assert "token " not in done.output


async def test_without_the_old_key_the_error_names_it(folder: Path, database: Any) -> None:
    await in_thread("rotate")
    old = ring_of(folder)
    await furnish(old)
    (folder / "keyring.json").unlink()
    await in_thread("rotate")
    with pytest.raises(UnknownKey, match=old.current):
        await opened(ring_of(folder))


def test_a_ring_of_the_environment_is_not_rotated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("rotate")
    monkeypatch.setenv("SATCHEL_KEYRING", (folder / "keyring.json").read_text())
    load_settings.cache_clear()
    refused = run("rotate")
    assert (refused.exit_code, "SATCHEL_KEYRING" in refused.output) == (1, True)
    copied = folder / "copy.json"
    assert run("rotate", "--file", str(copied)).exit_code == 0
    assert len(read_keys(copied).by_id) == 1
    assert load_keyring(load_settings()).key_ids() == list(read_keys(folder / "keyring.json").by_id)


async def stored_with(ring: KeyRing, session: Any) -> None:
    """Store a value that the ring has sealed."""
    row = {"_id": PydanticObjectId(), "userId": PydanticObjectId()}
    sealed = ring.seal(SecretStr("late"), Connection.place_in(row, "access_token"))
    await a_connection(row, sealed).add(session)


class _Unhurried(Watched[Keys]):
    """Looks again when it is told to, however long a test takes."""

    def look(self, every: float = 0.0) -> Keys:
        return super().look(every and math.inf)


async def two_keys(folder: Path, ring_of_server: list[KeyRing]) -> str:
    """A ring whose old key a server has still read as the one that seals; that key."""
    await in_thread("rotate")
    ring_of_server.append(KeyRing(_Unhurried(folder / "keyring.json", read_keys)))
    await in_thread("rotate")
    return ring_of_server[0].current


async def test_a_process_with_the_old_ring_stores_nothing_by_a_key_that_was_removed(
    folder: Path, rebound: Any
) -> None:
    server: list[KeyRing] = []
    old = await two_keys(folder, server)
    await transaction(lambda session: stored_with(server[0], session))
    assert (await in_thread("remove", old)).exit_code == 1
    await rebound()
    assert (await in_thread("reencrypt")).exit_code == 0
    assert (await in_thread("remove", old)).exit_code == 0
    await rebound()
    with pytest.raises(Unavailable) as refused:
        await transaction(lambda session: stored_with(server[0], session))
    assert refused.value.headers["Retry-After"] == "5"
    assert await opened(ring_of(folder)) == ["late"]
    server[0].reload()
    await transaction(lambda session: stored_with(server[0], session))
    assert await opened(ring_of(folder)) == ["late", "late"]


@pytest.mark.parametrize("known", [False, True], ids=["first use", "used before"])
async def test_a_removal_waits_for_a_value_that_is_being_stored_and_counts_it(
    folder: Path, rebound: Any, known: bool
) -> None:
    server: list[KeyRing] = []
    old = await two_keys(folder, server)
    if known:
        await transaction(lambda session: stored_with(server[0], session))
        await Connection.raw().delete_many({})
    removing: list[asyncio.Task[Any]] = []

    async def slow(session: Any) -> None:
        await stored_with(server[0], session)
        if not removing:
            command_line = [sys.executable, "-m", "scripts", "keyring", "remove", old]
            process = await asyncio.create_subprocess_exec(
                *command_line, stderr=asyncio.subprocess.PIPE
            )
            removing.append(asyncio.create_task(process.communicate()))
            done, _ = await asyncio.wait(removing, timeout=6)
            assert not done

    await transaction(slow)
    _, told = await removing[0]
    assert b"1 values are still sealed" in told
    assert old in ring_of(folder).key_ids()
    assert await opened(ring_of(folder)) == ["late"]


async def test_a_transaction_that_began_before_the_removal_stores_nothing_after_it(
    folder: Path, rebound: Any
) -> None:
    server: list[KeyRing] = []
    old = await two_keys(folder, server)
    outcomes: list[int] = []

    async def late(session: Any) -> None:
        await Connection.raw().find_one({}, session=session)
        if not outcomes:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "scripts", "keyring", "remove", old
            )
            outcomes.append(await process.wait())
        await stored_with(server[0], session)

    with pytest.raises(Unavailable):
        await transaction(late)
    assert outcomes == [0]
    assert await Connection.raw().count_documents({}) == 0


async def test_a_value_that_moves_while_it_is_counted_is_counted(
    folder: Path, rebound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a connection to the link to remove, which was counted before it."""
    server: list[KeyRing] = []
    old = await two_keys(folder, server)
    await transaction(lambda session: stored_with(server[0], session))

    class Moving:
        collection_name = Connection.collection_name

        @classmethod
        def raw(cls) -> Any:
            return cls

        @staticmethod
        async def aggregate(*arguments: Any, **options: Any) -> Any:
            row: Any = await Connection.raw().find_one_and_delete({})
            await OutsideLink.raw().insert_one(
                {"_id": row["_id"], "accessToken": row["accessToken"]}
            )
            return await Connection.raw().aggregate(*arguments, **options)

    monkeypatch.setattr(
        command, "SEALED_FIELDS", [(OutsideLink, "access_token"), (Moving, "access_token")]
    )
    removed = await in_thread("remove", old)
    await rebound()
    assert (removed.exit_code, "1 values are still sealed" in removed.output) == (
        1,
        True,
    ), removed.output
    assert await OutsideLink.raw().count_documents({"accessToken.k": old}) == 1


async def test_what_is_sealed_is_stored_in_a_transaction_only(folder: Path, rebound: Any) -> None:
    await in_thread("rotate")
    with pytest.raises(RuntimeError, match="in a transaction"):
        await stored_with(ring_of(folder), None)
