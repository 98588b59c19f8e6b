"""Pages of a list, each with the cursor of the next."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, TypeVar

from bson import ObjectId
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.web.cursors import decode_cursor, encode_cursor
from models.aside import Read
from models.base import Raw, Stored

T = TypeVar("T")
MAX_PAGE: Final = 200


class Page(BaseModel, Generic[T]):
    """One page of a list; `nextCursor` fetches the next, null on the last."""

    model_config = ConfigDict(
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )
    items: list[T]
    next_cursor: Annotated[str | None, Field(alias="nextCursor")] = None


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many items at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1024, description="`nextCursor` of the page before.")
]


def page(
    items: list[T], limit: int, key: Callable[[T], tuple[Any, ...]]
) -> tuple[list[T], str | None]:
    """Cut a list that was asked for with one more than `limit` to its page, and the cursor of the
    next. Rows that were stepped over are no items, and there are further ones all the same."""
    skipped = items.skipped if isinstance(items, Read) else 0
    if not items or len(items) + skipped <= limit:
        return items, None
    kept = items[:limit]
    return kept, encode_cursor(*key(kept[-1]))


async def newest(
    document: type[Stored], where: Mapping[str, Any], limit: int, cursor: str | None
) -> tuple[list[Raw], str | None]:
    """A page of the stored rows that match, the newest id first, and the cursor of the next page
    (`decode_cursor`)."""
    before = decode_cursor(cursor, ObjectId)
    rows = await document.list_newest(where, limit + 1, before[0] if before else None)
    return page([row for row in rows if isinstance(row["_id"], ObjectId)], limit, _id)


def _id(row: Raw) -> tuple[Any]:
    return (row["_id"],)
