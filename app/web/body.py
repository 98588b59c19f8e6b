"""JSON, parsed so strictly that what passes can be stored and given back unchanged; and as it is
sent."""

import json
from datetime import datetime
from typing import Any, Final

import orjson
from bson import ObjectId

from app.errors import Invalid, MalformedJson, TooLarge, UnsupportedMediaType
from models.base import rfc3339
from models.values import (
    Json,
    UnstorableValue,
    check_value,
    dump_checked,
    has_long_number,
    is_too_deep,
)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_VALUE_BYTES: Final = 512 * 1024
MAX_DELIVERY_BYTES: Final = 25 * 1024 * 1024
"""What GitHub and GitLab send at most by a webhook."""


def parse_json(body: bytes) -> Json:
    """The value that a body spells.

    A value is walked only where its bytes hold something that could be wrong: the parser itself
    refuses NaN, numbers beyond a double, and halves of surrogate pairs.

    Raises:
        MalformedJson: it is no JSON (RFC 8259).
        Invalid: it is nested too deep, holds an integer beyond 64 bits, or NUL in a key.
    """
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if has_long_number(body):
            _with_exact_integers(body)
        raise MalformedJson(f"the body is not valid JSON: {error}") from None
    if is_too_deep(value, body):
        _check(value)
    elif has_long_number(body):
        _check_integers(value, body)
    elif b"\\u0000" in body:
        _check(value)
    return value


def refuse_packed(encoding: str | None) -> None:
    """See that a body comes as it is: its packed bytes would be taken for malformed JSON (RFC 9110,
    section 15.5.16).

    Args:
        encoding: the request's `Content-Encoding`.

    Raises:
        UnsupportedMediaType: the body is packed.
    """
    if encoding and any(
        name.strip().lower() not in ("", "identity") for name in encoding.split(",")
    ):
        raise UnsupportedMediaType(
            "send the body without Content-Encoding", headers={"Accept-Encoding": "identity"}
        )


def value_size(body: bytes) -> int:
    """The size of a stored value in bytes of JSON.

    Raises:
        TooLarge: it has more than 512 KiB.
    """
    if len(body) > MAX_VALUE_BYTES:
        raise TooLarge(
            f"a value has at most {MAX_VALUE_BYTES} bytes of JSON, this one has {len(body)}"
        )
    return len(body)


def check_storable(value: Json) -> bytes:
    """The JSON of a value that a patch made, checked as if it had been sent.

    Raises:
        Invalid: it cannot be stored.
        TooLarge: it has more than 512 KiB.
    """
    try:
        body = dump_checked(value)
    except UnstorableValue as error:
        raise _named(error) from None
    value_size(body)
    return body


def dump_json(value: Any) -> bytes:
    """JSON as it is sent: times in RFC 3339 with milliseconds, ids as hex."""
    return orjson.dumps(value, default=_jsonable, option=orjson.OPT_PASSTHROUGH_DATETIME)


def is_json(value: object) -> bool:
    """Whether a value can be sent."""
    try:
        dump_json(value)
    except TypeError:
        return False
    return True


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, ObjectId):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _check(value: Json) -> None:
    try:
        check_value(value)
    except UnstorableValue as error:
        raise _named(error) from None


def _named(error: UnstorableValue) -> Invalid:
    return Invalid.field(error.pointer, error.code, error.detail)


def _check_integers(value: Json, body: bytes) -> None:
    """Check a value by its exact integers; what is wrong with the value as orjson made it is named
    first."""
    try:
        _check(_with_exact_integers(body))
    except Invalid:
        _check(value)
        raise


def _with_exact_integers(body: bytes) -> Json:
    """The value again from a parser that keeps integers of any size, since orjson makes doubles of
    the large ones."""
    try:
        value: Json = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None  # no JSON at all, as the caller says
    except ValueError:  # more digits than Python reads: larger than 64 bits in any case
        raise Invalid.field(
            "", "integer_too_large", "an integer must fit 64 bits with sign"
        ) from None
    return value
