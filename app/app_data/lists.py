"""Lists of values, in the order of keys or of a declared query: what a request asks of a query,
whether it is there, and pages as they are answered."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from bson import ObjectId
from fastapi import Response

from app.errors import IndexBuilding, Invalid
from app.web.body import is_json
from app.web.cursors import decode_cursor, encode_cursor
from models.app import App
from models.app_data import AppData
from models.app_data_queries import Query, Span, page_by_query, queries_of
from models.base import Raw
from models.values import Json, UnstorableValue, check_value

Page = tuple[list[Raw], str | None]
"""Envelopes, and the cursor of the next page; None on the last one."""
_BUILDING: Final = (
    "the query is being built: try again in a minute, GET /v1/apps/{appId}/queries tells when it is"
    " there"
)


async def find_query(app_id: str, name: str) -> Query:
    """A query of an app that is built, by its settings of this moment: what is remembered might be
    of another one.

    Raises:
        Invalid: there is none of this name.
        IndexBuilding: it is not built yet.
    """
    app = await App.find_by_id(app_id)
    query = queries_of(app).get(name) if app is not None else None
    if app is None or query is None:
        raise Invalid.field("?query", "unknown", "the app's settings declare no query of this name")
    if query.id not in app.queries_ready:
        raise IndexBuilding(_BUILDING)
    return query


def span_of(least: str | None, below: str | None) -> Span:
    """The part of a query's values that `from` and `to` name.

    Raises:
        Invalid: one of them is an array or an object, which have no order.
    """
    return Span(_bound("?from", least), _bound("?to", below))


async def query_page(
    user_id: ObjectId,
    app_id: str,
    query: Query,
    span: Span,
    turned: bool,
    cursor: str | None,
    **shown: Any,
) -> Page:
    """A page of a query's values, and the cursor of the next one; `shown` as of `page_by_query`.

    Raises:
        Invalid: the cursor is of another list, or of the query as it was declared before.
    """
    told = decode_cursor(cursor, str, str)
    if told is not None and told[0] != query.id:
        raise Invalid.field(
            "?cursor", "malformed", "the query is declared otherwise by now: begin anew"
        )
    after = None if told is None else told[1]
    items, last = await page_by_query(
        query, user_id, app_id, span, turned=turned, after=after, **shown
    )
    return items, None if last is None else encode_cursor(query.id, last)


def _bound(place: str, text: str | None) -> tuple[Json, ...]:
    """A JSON text is the value that it spells; what is none is a string as it stands."""
    if text is None:
        return ()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    if isinstance(value, (dict, list)):
        raise Invalid.field(
            place, "wrong_type", "arrays and objects have no order: a bound is any other JSON value"
        )
    try:
        check_value(value)
    except UnstorableValue as error:
        raise Invalid.field(place, error.code, error.detail) from None
    return (value,)


async def key_page(user_id: ObjectId, app_id: str, **shown: Any) -> Page:
    """A page in the order of keys; `shown` as of `AppData.page_by_user_and_app`."""
    items, last = await AppData.page_by_user_and_app(user_id, app_id, **shown)
    return items, None if last is None else encode_cursor(last)


async def answered(
    read: Callable[..., Awaitable[Page]], answer: Callable[[list[Raw], str | None], Response]
) -> Response:
    """The answer that a page makes. Where something on it is nothing that JSON could say, which
    only a row holds that was damaged outside of Satchel, the page is read again without it."""
    try:
        return answer(*await read())
    except TypeError:
        return answer(*await read(is_sent=is_json))
