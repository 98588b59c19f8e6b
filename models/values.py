"""Any JSON value, stored so that it comes back exactly as sent, and refused where MongoDB could not
do that."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

Json = dict[str, Any] | list[Any] | str | int | float | bool | None

MAX_DEPTH = 64
MAX_METADATA_BYTES = 16 * 1024
MAX_EVENT_BYTES = 32 * 1024
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19
_CONTAINERS = frozenset({dict, list})  # as parsers make them
_REF = "$ref"
_ESCAPE = "\x1b"


@dataclass
class UnstorableValue(ValueError):
    """A JSON value that cannot be stored and given back unchanged.

    Attributes:
        pointer: where it is (RFC 6901).
        code: `too_deep`, `integer_too_large`, `nul_in_key`, `not_finite` or `not_unicode`; or
            `conflicting`, where it does not go with another field.
        detail: a sentence for a person.
    """

    pointer: str
    code: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def check_value(value: Json, pointer: str = "", depth: int = 0) -> None:
    """Check that a value survives BSON: depth at most 64, 64-bit integers, finite floats, unicode,
    no NUL in keys.

    The work is in proportion to the value: the place is spelled out only once a fault is found.

    Args:
        value: what a JSON parser made.
        pointer: where the value stands in the body, for the error.
        depth: how many containers it stands in.

    Raises:
        UnstorableValue: it does not, naming the place.
    """
    fault = _fault(value, depth)
    if fault is not None:
        place = "".join(f"/{_pointer_part(str(part))}" for part in reversed(fault.path))
        raise UnstorableValue(pointer + place, fault.code, fault.detail)


@dataclass(slots=True)
class _Fault:
    """What is wrong, and the keys and indexes that lead to it, the innermost first."""

    code: str
    detail: str
    path: list[str | int] = field(default_factory=list)

    def inside(self, part: str | int) -> "_Fault":
        """The same fault, seen from one container further out."""
        self.path.append(part)
        return self


def dump_checked(value: Json) -> bytes:
    """The JSON of a value that `check_value` accepts; the value is walked only where its JSON holds
    a suspicion.

    Raises:
        UnstorableValue: as `check_value`.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:  # half a surrogate pair, an integer beyond 64 bits
        check_value(value)
        raise
    not_finite = b"null" in text  # which is how NaN is written, too
    if not_finite or b"\\u0000" in text or has_long_number(text) or is_too_deep(value, text):
        check_value(value)
    return text


def has_long_number(text: bytes) -> bool:
    """Whether a JSON text has 19 digits in a row, as any integer beyond 64 bits has. (`re` takes
    ten times as long.)"""
    return _LONG_NUMBER in text.translate(_TO_ZEROS)


def is_too_deep(value: Json, text: bytes) -> bool:
    """Whether `check_value` would find a value with this JSON too deep: by levels, since that needs
    no pointers."""
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = _containers(chain.from_iterable(parts))
    return bool(level)


def _containers(values: Iterable[Json]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if type(value) in _CONTAINERS]  # type: ignore[misc]


def _fault(value: Json, depth: int) -> _Fault | None:
    """The first fault of a value in the order in which it is written; 64 levels of recursion at
    most."""
    if not isinstance(value, (dict, list)):
        return _scalar_fault(value)
    if depth >= MAX_DEPTH:
        return _Fault("too_deep", f"JSON may be nested {MAX_DEPTH} levels deep")
    parts: Iterable[tuple[str | int, Json]] = (
        value.items() if isinstance(value, dict) else enumerate(value)
    )
    for part, item in parts:
        fault = (_key_fault(part) if isinstance(part, str) else None) or _fault(item, depth + 1)
        if fault is not None:
            return fault.inside(part)
    return None


def _key_fault(key: str) -> _Fault | None:
    if "\0" in key:
        return _Fault("nul_in_key", "a key must not contain U+0000")
    return _text_fault(key)


def _scalar_fault(value: object) -> _Fault | None:
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, float):
        return (
            None if math.isfinite(value) else _Fault("not_finite", "NaN and Infinity are not JSON")
        )
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        return _Fault("integer_too_large", "an integer must fit 64 bits with sign")
    return None


def _text_fault(text: str) -> _Fault | None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _Fault("not_unicode", "a string holds half of a surrogate pair")
    return None


def _pointer_part(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()


def escape_refs(value: Json) -> Json:
    """The value with `$ref` keys renamed, since the driver decodes an object that has one as a
    DBRef.

    An escape character goes before the key, and before one that has some already, so that
    `unescape_refs` is exact.
    """
    return _rename(value, lambda key: _ESCAPE + key if key.lstrip(_ESCAPE) == _REF else key)


def unescape_refs(value: Json) -> Json:
    """The value that `escape_refs` was given."""
    return _rename(
        value, lambda key: key[1:] if key[:1] == _ESCAPE and key.lstrip(_ESCAPE) == _REF else key
    )


def escape_row(row: dict[str, Any]) -> dict[str, Any]:
    """`escape_refs` for the fields of a document."""
    return {name: escape_refs(value) for name, value in row.items()}


def unescape_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """`unescape_refs` for the fields of a document."""
    return {name: unescape_refs(value) for name, value in row.items()}


def has_refs(value: Json) -> bool:
    """Whether `escape_refs` would change a value that `check_value` accepts."""
    return isinstance(value, (dict, list)) and b"$ref" in orjson.dumps(value) and _has_refs(value)


def _has_refs(value: Json) -> bool:
    if isinstance(value, dict):
        return any(key.lstrip(_ESCAPE) == _REF for key in value) or any(
            map(_has_refs, value.values())
        )
    return isinstance(value, list) and any(map(_has_refs, value))


def _rename(value: Json, rename: Callable[[str], str]) -> Json:
    if isinstance(value, dict):
        return {rename(key): _rename(item, rename) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename(item, rename) for item in value]
    return value


def _storable_object(most: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def checked(value: dict[str, Any]) -> dict[str, Any]:
        size = len(dump_checked(value))
        if size > most:
            raise ValueError(f"the object has {size} bytes of JSON, {most} are allowed")
        return value

    return checked


SmallObject = Annotated[dict[str, Any], AfterValidator(_storable_object(MAX_METADATA_BYTES))]
EventObject = Annotated[dict[str, Any], AfterValidator(_storable_object(MAX_EVENT_BYTES))]
"""An object of at most 16 KiB of JSON (profile metadata, event data)."""
