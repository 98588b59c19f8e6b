"""What the tests of a process share, as each paid for it anew: routes, document classes, an empty
database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from beanie import init_beanie
from fastapi import FastAPI
from fastapi.routing import _IncludedRouter
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from models import User
from models.base import Raw, now

if TYPE_CHECKING:
    from tests.harness import Api

T = TypeVar("T")
_LOCAL: Final = ReadConcern("local")
_first: Final[dict[int, _IncludedRouter]] = {}  # by the identity of the router, which it holds
_set_up: Final[set[type]] = set()
_there: Final[set[Callable[..., Any]]] = (
    set()
)  # what `once` has made since the database was emptied


async def bind_documents(
    database: AsyncDatabase[Raw], document_models: list[Any], skip_indexes: bool
) -> None:
    """`init_beanie`, which looks at the fields of a class once: after that a class only gets
    another database."""
    if not _set_up.issuperset(document_models):
        await init_beanie(
            database=database, document_models=list(document_models), skip_indexes=skip_indexes
        )
        _set_up.update(document_models)
    for document in document_models:
        document.set_database(database)
        document.set_collection(database[document.collection_name()])


def share_routes(app: FastAPI) -> None:
    """Give an application the routes that the first one made of the routers: FastAPI makes them for
    each, lazily."""
    for included in app.router.routes:
        if isinstance(included, _IncludedRouter):
            first = _first.setdefault(id(included.original_router), included)
            included._effective_candidates = first.effective_candidates()
            included._effective_candidates_version = first._effective_candidates_version


async def clear(database: AsyncDatabase[Raw]) -> None:
    """Delete every document."""
    _there.clear()
    for name in await _filled(database):
        await database[name].delete_many({})


async def _filled(database: AsyncDatabase[Raw]) -> list[str]:
    """The collections that have documents, asked for in one command: most have none."""
    names = [
        name for name in await database.list_collection_names() if not name.startswith("system.")
    ]
    parts = [[{"$limit": 1}, {"$project": {"_id": {"$literal": name}}}] for name in names]
    if not names:
        return []
    unions = [
        {"$unionWith": {"coll": name, "pipeline": part}}
        for name, part in zip(names, parts, strict=True)
    ]
    first = database[names[0]].with_options(read_concern=_LOCAL)
    return [row["_id"] async for row in await first.aggregate([*parts[0], *unions[1:]])]


@dataclass(frozen=True)
class _Kept:
    """What was made, of which documents it consists, when, and where it holds: in this database,
    with this key ring."""

    place: tuple[Any, ...]
    made: Any
    documents: dict[str, list[Raw]]
    at: datetime = field(default_factory=now)

    async def put_in(self, database: AsyncDatabase[Raw]) -> None:
        """Store the documents as if they were made now."""
        later = now() - self.at
        for name, documents in self.documents.items():
            await database[name].insert_many(_moved(documents, later))


_kept: Final[dict[Callable[..., Any], _Kept]] = {}


async def once(make: Callable[..., Awaitable[T]], api: Api, *others: Any) -> T:
    """What `make` makes through the API: by it the first time, later by putting the same documents
    in.

    It is plain data (ids, secrets). A second one in the same test is another one.
    """
    database, settings = User.raw().database, api.settings
    place = (database.name, settings.data_dir, settings.keyring_file, settings.keyring)
    if make in _there:
        return await make(api, *others)
    _there.add(make)
    if (kept := _kept.get(make)) is not None and kept.place == place:
        await kept.put_in(database)
        return cast(T, kept.made)
    before = await _documents(database)
    made = await make(api, *others)
    if (added := _added(before, await _documents(database))) is not None:
        _kept[make] = _Kept(place, made, added)
    return made


def _added(
    before: dict[str, list[Raw]], after: dict[str, list[Raw]]
) -> dict[str, list[Raw]] | None:
    """The documents that came; None where others changed besides, but for the last use that is
    noted of a key."""
    added = {}
    for name, rows in after.items():
        old = {row["_id"]: row for row in before.get(name, [])}
        if name != "apikeys" and any(row != old.get(row["_id"], row) for row in rows):
            return None
        added[name] = [row for row in rows if row["_id"] not in old]
    return {name: rows for name, rows in added.items() if rows}


def _moved(value: Any, later: timedelta) -> Any:
    """A document whose times are all so much later."""
    if isinstance(value, datetime):
        return value + later
    if isinstance(value, dict):
        return {name: _moved(each, later) for name, each in value.items()}
    return [_moved(each, later) for each in value] if isinstance(value, list) else value


async def _documents(database: AsyncDatabase[Raw]) -> dict[str, list[Raw]]:
    return {name: await database[name].find({}).to_list() for name in await _filled(database)}
