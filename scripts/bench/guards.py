"""`python -m scripts bench-guards`: many writers give one parent children at once, guarded in two
ways."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import bind, connect, transaction
from app.settings import Settings
from models import Account, Guard, SpendingProfile
from models.base import Raw
from scripts.mongod import start_mongod

WayToGuard = Callable[[ObjectId, ObjectId, AsyncClientSession], Awaitable[object]]


def main(
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of one round.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each way.")] = 5,
    writers: Annotated[int, typer.Option(min=1, help="Writers at once.")] = 16,
) -> None:
    """Compare one guard on the parent with the stripes of `models.guard`, in alternating rounds on
    one database."""
    with (
        TemporaryDirectory(prefix="satchel-guards-") as folder,
        start_mongod(Path(folder)) as mongod,
    ):
        settings = Settings.model_validate({"mongodb_uri": mongod.uri, "pool_max_size": writers})
        asyncio.run(_compare(settings, mongod.uri, seconds, rounds, writers))


async def _compare(settings: Settings, uri: str, seconds: float, rounds: int, writers: int) -> None:
    async with connect(settings, uri, bounded=False) as client:
        await bind(client, settings)
        account = ObjectId((await Account(name="hot").add()).id)
        await Guard.open(account, session=None)
        found: dict[str, list[tuple[float, float]]] = {"one guard": [], "stripes": []}
        for _ in range(rounds):
            for name, way in (("one guard", _one), ("stripes", _striped)):
                found[name].append(await _round(way, account, seconds, writers))
        for name, results in found.items():
            speed, slowest = (statistics.median(values) for values in zip(*results, strict=True))
            typer.echo(
                f"{name:10} {speed:8,.0f} children/s   p99 {slowest:6.1f} ms   (medians of {rounds}"
                " rounds)"
            )
        ratios = [
            many[0] / one[0] for one, many in zip(found["one guard"], found["stripes"], strict=True)
        ]
        typer.echo(f"ratio      {statistics.median(ratios):8.2f}")


async def _one(account: ObjectId, _child: ObjectId, session: AsyncClientSession) -> None:
    await Account.raw().update_one({"_id": account}, {"$inc": {"guard": 1}}, session=session)


async def _striped(account: ObjectId, child: ObjectId, session: AsyncClientSession) -> None:
    await Guard.count_up(account, child, session=session)


async def _round(
    way: WayToGuard, account: ObjectId, seconds: float, writers: int
) -> tuple[float, float]:
    """Children per second, and the 99th percentile of their times in milliseconds."""
    until, times = time.perf_counter() + seconds, []

    async def write() -> None:
        while (started := time.perf_counter()) < until:
            child = SpendingProfile(
                id=PydanticObjectId(), account_id=PydanticObjectId(account), name="x"
            ).stored()
            await transaction(partial(_insert, way, account, child))
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(write() for _ in range(writers)))
    return len(times) / seconds, statistics.quantiles(times, n=100)[98] * 1000


async def _insert(
    way: WayToGuard, account: ObjectId, child: Raw, session: AsyncClientSession
) -> None:
    await way(account, child["_id"], session)
    await SpendingProfile.raw().insert_one(child, session=session)
