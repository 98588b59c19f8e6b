"""The database of a release, put where the code of now can open it."""

from pathlib import Path
from typing import Any

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from app.recovery.manifest import Manifest
from app.recovery.pieces import documents_of
from app.storage import FolderStore
from tests.upgrades.making import ANSWERS, HERE

Raw = dict[str, Any]
RELEASES = sorted(each.parent.name for each in HERE.glob(f"*/{ANSWERS}"))
_MEGABYTE = 1 << 20


async def open_release(database: AsyncDatabase[Raw], folder: Path) -> None:
    """Put a release's documents and indexes there, as it left them."""
    store = FolderStore(folder)
    for part in Manifest.of(store).parts:
        collection = await database.create_collection(part.name, **part.options)
        for piece in part.pieces:
            for batch in documents_of(store, piece, _MEGABYTE):
                await collection.insert_many(batch)  # type: ignore[arg-type]
        models = [
            IndexModel(list(each["key"].items()), **{n: v for n, v in each.items() if n != "key"})
            for each in part.indexes
        ]
        if models:
            await collection.create_indexes(models)
