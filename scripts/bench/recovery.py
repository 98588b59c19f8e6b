"""`python -m scripts bench-recovery`: a backup, a restore and a replay of the ledger are killed at
random moments, begun anew, and compared with ones that nobody killed; what each costs.

Everything is done by the commands that an operator has, in processes of their own, on a database
and a folder that nothing else uses.
"""

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import bson
import typer
from bson import ObjectId

from app.settings import Settings
from scripts.mongod import end_with_starter, start_mongod
from scripts.target import opened

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

_MIB: Final = 1024**2
_BATCH: Final = 5000
_DIFFER: Final = frozenset(
    {"version", "versionFloor", "updatedAt", "createdAt", "sessionsEndedAt", "nextSweepAt", "fence"}
)
"""Fields that two runs have of their own: versions are raised by each, and it takes its time."""
_APART: Final = frozenset(
    {"deployments", "jobs", "migrations", "integrityscans", "auditevents", "ledgernotes"}
)
"""Collections that tell of the run itself."""


class NotTheSameError(Exception):
    """What was begun anew is not what nobody killed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that ended: after how long, and how many MiB it had at most."""

    seconds: float
    peak: float
    killed: bool
    told: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commands work: the connection string and a folder."""

    uri: str
    folder: Path

    def settings(self, database: str) -> Settings:
        """Of a database here."""
        return Settings(data_dir=self.folder, database=database)

    def run(self, database: str, *arguments: str, kill_after: float | None = None) -> Ran:
        """Run a command, and kill it (`kill -9`) after so many seconds, unless it has ended.

        Raises:
            NotTheSameError: it was not killed, and did not come to its end.
        """
        own = {name: each for name, each in os.environ.items() if not name.startswith("SATCHEL_")}
        own |= {"SATCHEL_MONGODB_URI": self.uri, "SATCHEL_DATABASE": database}
        own |= {"SATCHEL_DATA_DIR": str(self.folder)}
        log, began = self.folder / "command.log", time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # ours
                [sys.executable, "-m", "scripts", *arguments],
                env=own,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_starter(),  # noqa: PLW1509  # as servers are started
            )
            if kill_after is not None:
                timer = threading.Timer(kill_after, os.kill, (process.pid, signal.SIGKILL))
                timer.start()
            _, status, used = os.wait4(process.pid, 0)
        if kill_after is not None:
            timer.cancel()
        code = process.returncode = os.waitstatus_to_exitcode(status)
        killed, told = code == -signal.SIGKILL, log.read_text(errors="replace")
        if code and not killed:
            raise NotTheSameError(f"{' '.join(arguments)} exited {code}: {told[-2000:]}")
        return Ran(time.perf_counter() - began, used.ru_maxrss / 1024, killed, told)


def main(
    documents: Annotated[int, typer.Option(min=100, help="How many documents.")] = 100_000,
    kills: Annotated[int, typer.Option(min=1, help="How often each phase is killed.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
) -> None:
    """Kill a backup, a restore and a replay again and again, and compare. Exits 1 where it is not
    the same."""
    with TemporaryDirectory() as folder, start_mongod(Path(folder) / "db") as mongod:
        place = Place(mongod.uri, Path(folder))
        try:
            _drill(place, documents, kills, random.Random(seed))
        except NotTheSameError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None


def _drill(place: Place, documents: int, kills: int, dice: random.Random) -> None:
    size, total = asyncio.run(_fill(place, documents))
    whole, killed = str(place.folder / "whole"), str(place.folder / "killed")
    backed_up = place.run("live", "backup", whole)
    _tell("backup", backed_up, size)
    hits = _killed_anew(place, "live", backed_up, dice, kills, "backup", killed)
    before = asyncio.run(_digests(place, "live"))
    acts = asyncio.run(_act(place))
    place.folder.joinpath("ledger/live").rename(place.folder / "acts")
    restored = _restored(place, "reference", whole)
    _tell("restore, with its replay", restored, size)
    wanted = asyncio.run(_digests(place, "reference"))
    if wanted == before:
        raise NotTheSameError("the replay has changed nothing")

    _ledger_of(place, "restored")
    hits += _killed_anew(
        place, "restored", restored, dice, kills, "restore", killed, ready=_is_ready
    )
    _compare(wanted, asyncio.run(_digests(place, "restored")), "restored")

    replay = _replayed(place, "replayed", whole)
    _tell("replay alone (restored)", replay, None)
    _compare(wanted, asyncio.run(_digests(place, "replayed")), "replayed")
    asyncio.run(_put_back(place, "again", whole))
    _ledger_of(place, "again")
    hits += _killed_anew(place, "again", replay, dice, kills, "restored", ready=_is_ready)
    _compare(wanted, asyncio.run(_digests(place, "again")), "again")
    typer.echo(
        f"{total:,} documents, {size / _MIB:.0f} MiB, {acts} acts in the ledger; {hits} of"
        f" {3 * kills} processes were killed before their end, and what was begun anew is the same."
    )


def _tell(what: str, ran: Ran, size: int | None) -> None:
    speed = "" if size is None else f"{size / _MIB / ran.seconds:6.1f} MiB/s, "
    typer.echo(f"{what:26}{ran.seconds:6.1f} s, {speed}{ran.peak:.0f} MiB at most")


def _killed_anew(
    place: Place,
    database: str,
    whole: Ran,
    dice: random.Random,
    kills: int,
    *arguments: str,
    ready: Any = None,
) -> int:
    """Kill a command so many times, then have it come to its end. How many it did not outrun."""
    hits = 0
    while hits < kills:
        moment = dice.uniform(0.15, 0.85) * whole.seconds
        ran = place.run(database, *arguments, kill_after=moment)
        if not ran.killed:  # it has outrun the kill
            return hits
        hits += 1
        if arguments[0] == "backup" and (Path(arguments[1]) / "manifest.json").exists():
            return hits  # all was done
        if ready is not None and asyncio.run(ready(place, database)):
            return hits  # so it says: what is compared next must be all there
    place.run(database, *arguments)
    return hits


def _ledger_of(place: Place, database: str) -> None:
    """Have a database with the ledger of the one that was lost."""
    target = place.folder / "ledger" / database
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(place.folder / "acts", target)


def _restored(place: Place, database: str, backup: str) -> Ran:
    _ledger_of(place, database)
    return place.run(database, "restore", backup)


def _replayed(place: Place, database: str, backup: str) -> Ran:
    asyncio.run(_put_back(place, database, backup))
    _ledger_of(place, database)
    return place.run(database, "restored")


async def _put_back(place: Place, name: str, backup: str) -> None:
    """What a tool that is not ours does: the documents, and nothing after them."""
    from app.recovery.manifest import Manifest  # noqa: PLC0415  # slow imports
    from app.recovery.restore import restore  # noqa: PLC0415
    from app.storage.folder import FolderStore  # noqa: PLC0415
    from models.deployment import Deployment  # noqa: PLC0415

    store = FolderStore(Path(backup))
    async with opened(place.settings(name), uri=place.uri) as database:
        await restore(database, store, Manifest.of(store))
        await Deployment.raw().delete_one({"_id": Deployment.MARK})


async def _is_ready(place: Place, name: str) -> bool:
    from app.ledger import is_behind  # noqa: PLC0415  # slow imports
    from models.deployment import Deployment  # noqa: PLC0415

    settings = place.settings(name)
    async with opened(settings, uri=place.uri):
        return not (await Deployment.is_restoring() or await is_behind(settings))


async def _fill(place: Place, documents: int) -> tuple[int, int]:
    """People with profiles, identities, keys and values; how many bytes, and documents."""
    from indexes import sync  # noqa: PLC0415  # slow imports

    async with opened(place.settings("live"), uri=place.uri) as database:
        await sync.apply(database, await sync.plan(database))
        people = [ObjectId() for _ in range(max(documents // 100, 20))]
        await _insert(database, "users", [_user(each) for each in people])
        await _insert(database, "apikeys", [_key(number) for number in range(len(people))])
        for start in range(0, documents, _BATCH):
            numbers = range(start, min(start + _BATCH, documents))
            rows = [_value(people[number % len(people)], number) for number in numbers]
            await _insert(database, "appdata", rows)
        told = await database.command("dbStats")
        return int(told["dataSize"]), int(told["objects"])


async def _insert(database: "AsyncDatabase[Any]", name: str, rows: list[Any]) -> None:
    await database[name].insert_many(rows, ordered=False)


def _stored(**fields: Any) -> dict[str, Any]:
    from models.base import now  # noqa: PLC0415  # slow imports

    return {"createdAt": now(), "updatedAt": now(), "version": 1, **fields}


def _user(key: ObjectId) -> dict[str, Any]:
    return _stored(_id=key, roles=["user", "editor"], permissions=[], authMethods=[], guard=0)


def _key(number: int) -> dict[str, Any]:
    return _stored(name=f"k{number}", scopes=["data:read"], hash=f"{number:064}", guard=0)


def _value(user_id: ObjectId, number: int) -> dict[str, Any]:
    told = hashlib.shake_256(str(number).encode()).hexdigest(450)
    return _stored(
        userId=user_id,
        appId="notes",
        dataKey=f"k{number}",
        value={"text": told},
        bytes=911,
        deleted=False,
        by="bench",
    )


async def _act(place: Place) -> int:
    """Delete one person in ten, revoke one key in ten, make one in ten inactive; note it outside.
    How many acts."""
    from app.auth.api_keys import revoke_key  # noqa: PLC0415  # slow imports
    from app.database import transaction  # noqa: PLC0415
    from app.ledger import write_out  # noqa: PLC0415
    from app.relations.delete import delete_root  # noqa: PLC0415
    from app.work import HOOKS  # noqa: PLC0415
    from models import ApiKey, User  # noqa: PLC0415
    from models.ledger_note import LedgerNote  # noqa: PLC0415

    async def rest(user_id: ObjectId) -> None:
        async def work(session: Any) -> None:
            changed = await User.change({"_id": user_id}, {"status": "inactive"}, session=session)
            assert changed is not None
            await LedgerNote.take("inactive", changed, session)

        await transaction(work)

    settings, count = place.settings("live"), 0
    async with opened(settings, uri=place.uri):
        people = [row["_id"] async for row in User.raw().find({}, {"_id": 1}).sort("_id", 1)]
        keys = [row["_id"] async for row in ApiKey.raw().find({}, {"_id": 1}).sort("_id", 1)]
        for gone, resting, key in zip(people[::10], people[1::10], keys[::10], strict=False):
            await delete_root(User, gone, "bench", settings, HOOKS)
            await rest(resting)
            await revoke_key(key, None, "bench")
            await write_out(settings)
            count += 3
    return count


async def _digests(place: Place, name: str) -> dict[str, str]:
    """A digest of each collection, of what two runs have in common."""
    async with opened(place.settings(name), uri=place.uri) as database:
        names = sorted(set(await database.list_collection_names()) - _APART)
        found = {each: await _digest(database, each) for each in names}
        return {each: digest for each, digest in found.items() if digest}


async def _digest(database: "AsyncDatabase[Any]", name: str) -> str:
    digest, empty = hashlib.sha256(), True
    async for row in database[name].find({}).sort("_id", 1):
        told = {key: row[key] for key in sorted(row) if key not in _DIFFER}
        if name in ("deletions", "erasures"):  # each run has receipts of its own making
            told = {"_id": row["_id"]}
        digest.update(bson.encode(told))
        empty = False
    return "" if empty else digest.hexdigest()


def _compare(wanted: dict[str, str], found: dict[str, str], what: str) -> None:
    differing = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    if differing:
        raise NotTheSameError(f"`{what}` differs in {', '.join(differing)}")
