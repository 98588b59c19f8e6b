"""Declared queries: for each, a row keeps one text whose order is the query's, so that one index
serves them all.

The text of a value begins with the user, has what the query's pointers name in a form whose bytes
sort as it does, and ends with the key. It is made anew by every write, in the operation that
writes: what a row has is never untrue.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson
from bson import ObjectId
from pymongo import UpdateOne

from models.app import App, AppContent, DeclaredQuery
from models.app_data import AppData
from models.app_data_rows import enveloped, wanted_fields
from models.app_data_updates import unexpired
from models.base import Raw, now
from models.values import Json, unescape_refs

_BUILT: Final = {
    "userId": 1,
    "dataKey": 1,
    "value": 1,
    "escaped": 1,
    "deleted": 1,
    "version": 1,
    "queryKeys": 1,
}
_READ_AT_ONCE: Final = 20
_ID_LENGTH: Final = 24  # of a user's id as it is spelled
INDEX: Final = "queryKeys.$**_1"
LONGEST_TEXT: Final = 256
"""Bytes of a string that have part in the order."""
_ABOVE: Final = "\u0100"
"""Sorts after every character of a key."""
_TURNED: Final = bytes(255 - byte for byte in range(256))
_NULL, _FALSE, _TRUE, _NUMBER, _TEXT = (bytes([tag]) for tag in range(1, 6))
_SIGN: Final = 1 << 63
_ROUNDED: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Query:
    """A declared query, ready to be used.

    Attributes:
        id: names its definition within its app: what was made by another definition is never taken
            for this one's.
        prefix: of the keys that have part in it.
        parts: each pointer's parts, and whether it is descending.
    """

    id: str
    prefix: str
    parts: tuple[tuple[tuple[str, ...], bool], ...]

    @classmethod
    def of(cls, app_id: str, declared: DeclaredQuery) -> "Query":
        """The query that an app declares."""
        said = [app_id, declared.prefix, [[key.pointer, key.order] for key in declared.by]]
        parts = tuple((_split(key.pointer), key.order == "desc") for key in declared.by)
        return cls(f"q{sha256(orjson.dumps(said)).hexdigest()[:20]}", declared.prefix, parts)

    def key_of(self, user_id: ObjectId, data_key: str, value: Json) -> str:
        """The text by which a value is sorted."""
        found = b"".join(
            _sortable(_named(value, parts), descending) for parts, descending in self.parts
        )
        return f"{user_id}{found.decode('latin-1')}{data_key}"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a query's values: those whose first pointer names at least `least`, and less than
    `below`.

    A bound that is left out is an empty tuple; the bound of a JSON value is a tuple of that value.
    """

    least: tuple[Json, ...] = ()
    below: tuple[Json, ...] = ()

    def where(self, query: Query, user_id: ObjectId) -> Raw:
        """The range of the texts."""
        descending = query.parts[0][1]
        least, below = (self._text(bound, descending) for bound in (self.least, self.below))
        low, high = (below, least) if descending else (least, below)
        after = _ABOVE if descending else ""  # what has the bound itself sorts before this
        start = "" if low is None else low + after
        end = _ABOVE if high is None else high + after
        return {"$gte": f"{user_id}{start}", "$lt": f"{user_id}{end}"}

    def _text(self, bound: tuple[Json, ...], descending: bool) -> str | None:
        return _sortable(bound[0], descending).decode("latin-1") if bound else None


def queries_of(app: AppContent) -> dict[str, Query]:
    """The queries of a registered app by their names."""
    if not app.queries or not isinstance(app, App):
        return {}
    return {name: Query.of(app.id, declared) for name, declared in app.queries.items()}


def query_ids(app_id: str, content: AppContent) -> list[str]:
    """The ids of the queries that an app's settings declare."""
    return [Query.of(app_id, declared).id for declared in content.queries.values()]


def query_keys(
    queries: Iterable[Query], user_id: ObjectId, data_key: str, value: Json
) -> Raw | None:
    """What the row of a value keeps, by the id of the query; None where it has no part in any."""
    taking = (query for query in queries if data_key.startswith(query.prefix))
    return {query.id: query.key_of(user_id, data_key, value) for query in taking} or None


def of_another(user_id: ObjectId) -> Raw:
    """What a row keeps for queries once its value is this user's, as an update by a pipeline sets
    it: each text begins with whose it is."""
    rest = {"$substrCP": ["$$each.v", _ID_LENGTH, {"$strLenCP": "$$each.v"}]}
    text = {"k": "$$each.k", "v": {"$concat": [str(user_id), rest]}}
    texts = {"$map": {"input": {"$objectToArray": "$queryKeys"}, "as": "each", "in": text}}
    has_any = {"$eq": [{"$type": "$queryKeys"}, "object"]}
    return {"$cond": [has_any, {"$arrayToObject": texts}, "$$REMOVE"]}


async def page_by_query(
    query: Query,
    user_id: ObjectId,
    app_id: str,
    span: Span,
    *,
    turned: bool,
    after: str | None,
    limit: int,
    most_bytes: int,
    fields: Sequence[str] | None = None,
    is_sent: Callable[[Raw], bool] = lambda _: True,
) -> tuple[list[Raw], str | None]:
    """A page of a query's live values, and the place after which there is more; None on the last
    one.

    Args:
        query: which.
        user_id: whose.
        app_id: which app's.
        span: which part of them.
        turned: whether the last come first.
        after: the place to go on after.
        limit: how many at most.
        most_bytes: of JSON of all values together, as of `AppData.page_by_user_and_app`.
        fields: as of `AppData.find_by_user_and_app`.
        is_sent: as of `AppData.page_by_user_and_app`.
    """
    field = f"queryKeys.{query.id}"
    texts: list[Raw] = [{field: span.where(query, user_id)}]
    if after is not None:
        texts.append({field: {"$lt" if turned else "$gt": f"{user_id}{after}"}})
    where = {
        "$and": texts,
        "userId": user_id,
        "appId": app_id,
        "deleted": False,
        **unexpired(now()),
    }
    wanted = wanted_fields(fields, most_bytes // (limit + 1)) | {field: 1}
    cursor = (
        AppData.raw()
        .find(where, wanted)
        .sort(field, -1 if turned else 1)
        .hint(INDEX)
        .limit(limit + 1)
    )
    found = [enveloped(row) async for row in cursor]
    places = {str(row.get("dataKey")): row.pop("queryKeys")[query.id] for row in found}
    page, last = await AppData.fitted(
        *(found, user_id, app_id), limit=limit, most_bytes=most_bytes, fields=fields,
        is_sent=is_sent,
    )  # fmt: skip
    return page, None if last is None else places[last].removeprefix(str(user_id))


async def give_keys(app: App, after: ObjectId | None, limit: int) -> ObjectId | None:
    """See that the next rows of an app, in the order of ids, have what its queries want of them.

    A row is changed where it is still as it was read: whoever writes it meanwhile sees to that as
    well. Neither its version nor its stamp changes, so no client is told.

    Returns:
        The id to go on behind; None at the end.
    """
    queries, changes, last, seen = list(queries_of(app).values()), [], after, 0
    where = {"appId": app.id} | ({} if after is None else {"_id": {"$gt": after}})
    cursor = AppData.raw().find(where, _BUILT, batch_size=_READ_AT_ONCE).sort("_id", 1).limit(limit)
    async for row in cursor:
        last, seen = row["_id"], seen + 1
        value = unescape_refs(row["value"]) if row["escaped"] else row.get("value")
        keys = None if row["deleted"] else query_keys(queries, row["userId"], row["dataKey"], value)
        if keys != row.get("queryKeys"):
            update = {"$set": {"queryKeys": keys}} if keys else {"$unset": {"queryKeys": ""}}
            changes.append(UpdateOne({"_id": last, "version": row["version"]}, update))
    if changes:
        await AppData.raw().bulk_write(changes, ordered=False)
    return last if seen == limit else None


def _split(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _named(value: Json, parts: Iterable[str]) -> Json:
    """What a pointer names (RFC 6901); None where there is nothing."""
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif (
            isinstance(value, list)
            and part.isascii()
            and part.isdigit()
            and part == str(int(part[:9]))
        ):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def _sortable(value: Json, descending: bool) -> bytes:
    """Bytes that sort as the value does, none of which begin another's."""
    if isinstance(value, bool):
        found = _TRUE if value else _FALSE
    elif isinstance(value, (int, float)):
        found = _NUMBER + _number(value)
    elif isinstance(value, str):
        text = value.encode()[:LONGEST_TEXT]
        found = _TEXT + text.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1") + b"\0"
    else:
        found = _NULL
    return found.translate(_TURNED) if descending else found


def _number(value: float) -> bytes:
    """Of 64-bit integers and floats together: the float, and what an integer was rounded by."""
    nearest = float(value) + 0.0  # of two zeros one
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest))
    bits ^= _SIGN | (_SIGN - 1 if bits & _SIGN else 0)
    rounded = value - int(nearest) if isinstance(value, int) else 0
    return struct.pack(">QH", bits, _ROUNDED + rounded)
