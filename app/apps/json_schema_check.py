"""A dry run of schemas over what is stored: which values would not fit, page by page."""

import asyncio
import time
from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from app.apps.json_schemas import Schemas
from app.apps.settings import find_app
from app.web.cursors import decode_cursor, encode_cursor
from models.app import JsonSchema, KeyPattern
from models.app_data_scan import scan_app
from models.base import Fields, Raw

_PAGE_BYTES: Final = 8 * 1024 * 1024
_PAGE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.01
CHECKED_SHOWN: Final[dict[str, Any]] = {
    "checked": 200,
    "misfits": [
        {
            "userId": "691f0c0ffee691f0c0ffee69",
            "dataKey": "task:7",
            "version": 3,
            "errors": [
                {"pointer": "/title", "code": "missing", "detail": '"title" is a required property'}
            ],
        }
    ],
    "nextCursor": "WyI2OTFmMGMwZmZlZTY5MWYwYzBmZmVlNjkiXQ",
}


class SchemaCheck(Fields):
    """The schemas to try; those of the app where they are left out."""

    schemas: Annotated[dict[KeyPattern, JsonSchema] | None, Field(max_length=50)] = None


class SchemaFault(Fields):
    """What does not fit, with a pointer into the value."""

    pointer: str
    code: str
    detail: str


class Misfit(Fields):
    """A stored value that does not fit."""

    user_id: PydanticObjectId
    data_key: str
    version: int
    errors: list[SchemaFault]


class SchemaChecked(Fields):
    """One page of a dry run; `nextCursor` goes on, null at the end."""

    checked: Annotated[int, Field(description="How many values were looked at.")]
    misfits: list[Misfit]
    next_cursor: str | None = None


async def check_stored(
    app_id: str, content: SchemaCheck, limit: int, cursor: str | None
) -> SchemaChecked:
    """Look at a page of stored values.

    Args:
        app_id: whose.
        content: the schemas to try.
        limit: how many values at most; fewer where they have more than 8 MiB, or a second is over.
        cursor: of the page before.

    Raises:
        NotFound: the app is not registered, and no schemas were sent.
        Invalid: what is to be a schema is none.
    """
    schemas = Schemas(
        (await find_app(app_id)).schemas if content.schemas is None else content.schemas
    )
    after = decode_cursor(cursor, ObjectId)
    page = _Page(schemas)
    async for row in scan_app(app_id, after[0] if after else None, limit + 1):
        if page.seen == limit or page.is_full():
            return page.answer(encode_cursor(page.last))
        await page.look_at(row)
    return page.answer(None)


class _Page:
    """What was seen so far; it lets others of the process go on every now and then."""

    def __init__(self, schemas: Schemas) -> None:
        self.seen, self.last = 0, ObjectId()
        self._schemas = schemas
        self._bytes, self._checked = 0, 0
        self._misfits: list[Misfit] = []
        self._ends = time.monotonic() + _PAGE_SECONDS
        self._paused = time.monotonic()

    def is_full(self) -> bool:
        """Whether no more is to be looked at."""
        return self.seen > 0 and (self._bytes >= _PAGE_BYTES or time.monotonic() > self._ends)

    async def look_at(self, row: Raw) -> None:
        """Check one stored value, or pass over what is none."""
        self.seen, self.last = self.seen + 1, row["_id"]
        if "value" not in row:
            return
        self._checked, self._bytes = self._checked + 1, self._bytes + row["bytes"]
        schema = self._schemas.of_key(row["dataKey"])
        if schema is not None and (faults := schema.faults(row["value"])):
            errors = [SchemaFault(**fault) for fault in faults]
            place = {
                "user_id": row["userId"],
                "data_key": row["dataKey"],
                "version": row["version"],
            }
            self._misfits.append(Misfit(**place, errors=errors))
        if time.monotonic() > self._paused + _PAUSE_SECONDS:
            await asyncio.sleep(0)
            self._paused = time.monotonic()

    def answer(self, cursor: str | None) -> SchemaChecked:
        """The page."""
        return SchemaChecked(checked=self._checked, misfits=self._misfits, next_cursor=cursor)
