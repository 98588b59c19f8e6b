"""What declared queries send."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from bson import ObjectId, Timestamp

from models.app import App, DeclaredQuery, QueryKey
from models.app_data import AppData
from models.app_data_queries import Query, Span, give_keys, page_by_query
from models.app_usage import AppUsage
from models.base import now
from tests.filled import USERS

Operation = Callable[[], Awaitable[Any]]
ME, APP = USERS[7], "app1"
DECLARED = DeclaredQuery(
    prefix="key", by=[QueryKey(pointer="/a"), QueryKey(pointer="/b", order="desc")]
)


def changed() -> App:
    return App(id=APP, queries={"q": DECLARED}, queries_changed_at=now())


def asked(turned: bool, after: str | None) -> Operation:
    query, span = Query.of(APP, DECLARED), Span(("a",), ("b",))
    return lambda: page_by_query(
        query, ME, APP, span, turned=turned, after=after, limit=5, most_bytes=1
    )


QUERY_OPERATIONS: Final[dict[str, list[Operation]]] = {
    "App.note_queries": [
        lambda: changed().note_queries(["q1"], again=True),
        lambda: changed().note_queries(["q1"], again=False),
    ],
    "AppUsage.raise_floor": [
        lambda: AppUsage.raise_floor(ME, APP, 3, Timestamp(1, 1), session=None)
    ],
    "AppData.fitted": [
        lambda: AppData.fitted([], ME, APP, limit=5, most_bytes=1, fields=None),
        *(asked(turned, after) for turned in (False, True) for after in (None, "x")),
        lambda: give_keys(changed(), None, 50),
        lambda: give_keys(changed(), ObjectId(), 50),
    ],
}
