"""Cursors of lists, each bound to what it was given for: the list, its filter and its caller.

The binding is derived from the request by `StrictRoute`, so that a list need not think of it: a
digest of the route, its path, the caller and every parameter that is not only about what a page
looks like goes into each cursor, and one that comes with another request is refused. A route that
is no `StrictRoute` has no binding, and fails when it encodes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import orjson
from bson import ObjectId

from app.errors import Invalid
from app.web.body import dump_json
from models.base import parse_id

SHOWS_ONLY: Final = frozenset({"cursor", "limit", "expand", "fields", "payload", "count"})
"""Parameters that say how much of a list is shown, not which list it is."""
_DIGEST: Final = 12
_DIGITS: Final = 18
_bound: ContextVar[str] = ContextVar("cursor")


def bind_cursors(scope: MutableMapping[str, Any], query: Iterable[tuple[str, str]]) -> None:
    """Bind the cursors that are read and given from here on to this request's list, filter and
    caller.

    Args:
        scope: of the request, its caller authenticated.
        query: its parameters.
    """
    principal = scope.get("satchel.principal")
    path = dict(scope["path_params"])
    if principal is not None and principal.kind == "user" and path.get("userId") == "me":
        path["userId"] = str(principal.id)
    asked = [
        scope["route"].path,
        sorted(path.items()),
        sorted(pair for pair in query if pair[0] not in SHOWS_ONLY),
        None if principal is None else [principal.name, principal.app_id],
    ]
    digest = sha256(dump_json(asked)).digest()[:_DIGEST]
    _bound.set(urlsafe_b64encode(digest).decode())


def encode_cursor(*key: Any) -> str:
    """An opaque cursor that names the place after the item with this sort key."""
    return urlsafe_b64encode(dump_json([_bound.get(), *key])).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The sort key that a cursor names, None for no cursor.

    Args:
        cursor: from the client.
        kinds: the key's parts: str, datetime, ObjectId, or int from 0 on.

    Raises:
        Invalid: the cursor is none that this list gave, to this caller and for this filter.
    """
    if cursor is None:
        return None
    try:
        bound, *parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if bound != _bound.get() or len(parts) != len(kinds):
            raise ValueError("another list's cursor")
        return tuple(_part(kind, part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, TypeError, OverflowError):
        detail = "the cursor is none that this list gave for this filter to this caller"
        raise Invalid.field("?cursor", "malformed", detail) from None


def _part(kind: type, text: Any) -> Any:
    if not isinstance(text, str):
        raise TypeError("not text")
    if kind is datetime:
        return datetime.fromisoformat(text).astimezone(UTC)
    if kind is ObjectId:
        if (found := parse_id(text)) is None:
            raise ValueError("not an id")
        return found
    if kind is int:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise ValueError("not a number")
        return int(text)
    return text
