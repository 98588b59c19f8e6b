"""What the tests of a process share, as each paid for it anew: routes, document classes, an empty database."""

from typing import Any, Final

from beanie import init_beanie
from fastapi import FastAPI
from fastapi.routing import _IncludedRouter
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

Raw = dict[str, Any]
_LOCAL: Final = ReadConcern("local")
_first: Final[dict[int, _IncludedRouter]] = {}  # by the identity of the router, which it holds
_set_up: Final[set[type]] = set()


async def bind_documents(database: AsyncDatabase[Raw], document_models: list[Any], skip_indexes: bool) -> None:
    """`init_beanie`, which looks at the fields of a class once: after that a class only gets another database."""
    if not _set_up.issuperset(document_models):
        await init_beanie(database=database, document_models=list(document_models), skip_indexes=skip_indexes)
        _set_up.update(document_models)
    for document in document_models:
        document.set_database(database)
        document.set_collection(database[document.collection_name()])


def share_routes(app: FastAPI) -> None:
    """Give an application the routes that the first one made of the routers: FastAPI makes them for each, lazily."""
    for included in app.router.routes:
        if isinstance(included, _IncludedRouter):
            first = _first.setdefault(id(included.original_router), included)
            included._effective_candidates = first.effective_candidates()
            included._effective_candidates_version = first._effective_candidates_version


async def clear(database: AsyncDatabase[Raw]) -> None:
    """Delete every document. One command asks which collections have any: most have none."""
    names = [name for name in await database.list_collection_names() if not name.startswith("system.")]
    if not names:
        return
    first, *others = [[{"$limit": 1}, {"$project": {"_id": {"$literal": name}}}] for name in names]
    unions = [{"$unionWith": {"coll": name, "pipeline": part}} for name, part in zip(names[1:], others, strict=True)]
    collection = database[names[0]].with_options(read_concern=_LOCAL)
    async for row in await collection.aggregate([*first, *unions]):
        await database[row["_id"]].delete_many({})
