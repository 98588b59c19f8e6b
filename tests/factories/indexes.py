"""Indexes that are mended, and drift away."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from indexes import sync
from indexes.findings import Kind
from models.base import Raw


async def mend(
    database: AsyncDatabase[Raw], *, lean: bool = False, **options: Any
) -> list[sync.Finding]:
    return await sync.apply(database, await sync.plan(database, lean=lean), **options)


async def drift(database: AsyncDatabase[Raw], *, lean: bool = False) -> list[tuple[Kind, str, str]]:
    found = (await sync.plan(database, lean=lean)).drift
    return [(finding.kind, finding.collection, finding.name) for finding in found]


async def indexes(database: AsyncDatabase[Raw], collection: str) -> dict[str, Raw]:
    return {row["name"]: dict(row) async for row in await database[collection].list_indexes()}


async def everything(database: AsyncDatabase[Raw]) -> dict[str, dict[str, Raw]]:
    return {
        name: await indexes(database, name)
        for name in sorted(await database.list_collection_names())
    }
