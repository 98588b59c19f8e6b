"""mongomock-motor 0.0.36 made to look like PyMongo's own async API, as far as Beanie 2 and the
models use it.

What mongomock cannot do, this does not hide: transactions, partial indexes, change streams, TTL.
Update pipelines run, but lose `$$CLUSTER_TIME` in silence, so app data (`AppData.put`, `delete`) is
not tested here: that, and everything else, is tested on the real MongoDB that the rest of `tests/`
    has.
"""

from typing import Any

from beanie import init_beanie
from bson.codec_options import CodecOptions
from mongomock_motor import AsyncMongoMockClient

from models import DOCUMENTS, User


class Collection:
    """A collection whose `aggregate` is awaited, as PyMongo's is."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def aggregate(self, *args: Any, **options: Any) -> Any:
        """The cursor, which motor gives without being awaited."""
        return self._inner.aggregate(*args, **options)


class Database:
    """A database of such collections, which takes the arguments that Beanie 2 sends."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __getitem__(self, name: str) -> Collection:
        return self.get_collection(name)

    def get_collection(self, name: str, **options: Any) -> Collection:
        """The collection with this name."""
        return Collection(self._inner.get_collection(name, **options))

    async def list_collection_names(self, **_: Any) -> list[str]:
        """All names: mongomock knows neither `authorizedCollections` nor `nameOnly`."""
        names: list[str] = await self._inner.list_collection_names()
        return names


async def bound_database() -> Database:
    """A fresh, empty database in memory that every document class is bound to."""
    client: Any = AsyncMongoMockClient()
    database = Database(client.get_database("quick", codec_options=CodecOptions(tz_aware=True)))
    await init_beanie(database=database, document_models=list(DOCUMENTS), skip_indexes=True)  # type: ignore[arg-type]
    await User.raw().create_index(
        "email", unique=True, sparse=True
    )  # mongomock has no partial indexes
    return database
