"""What a batch asks for: its body, parsed so that an item that can never be stored refuses itself
and no other."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NoReturn

import orjson

from app.app_data.writes import LONGEST_TTL
from app.errors import Invalid, MalformedJson
from app.web.body import MAX_VALUE_BYTES
from models.app import NAME_RULE, is_name
from models.nobody import is_unset
from models.values import MOST_INTEGER, Json, UnstorableValue, check_value, has_long_number

MOST_WRITES: Final = 200
MUTATION_ID: Final = "[A-Za-z0-9._~:-]{1,64}"
_MEMBERS: Final = frozenset({"atomic", "writes"})
_OPTIONS: Final = frozenset({"dataKey", "ifVersion", "ttl", "mutationId"})
_MUTATION_ID: Final = re.compile(MUTATION_ID)
_MANY_LEVELS: Final = 64
FieldErrors = list[dict[str, str]]


class Kind(Enum):
    """What a write does, by the member that says so."""

    PUT = "value"
    MERGE = "mergePatch"
    PATCH = "jsonPatch"
    DELETE = "delete"


_KINDS: Final = {kind.value: kind for kind in Kind}


@dataclass(slots=True)
class Item:
    """One write of a batch.

    Attributes:
        index: its place in the batch.
        data_key: of which value.
        kind: what it does.
        content: the value, or the patch.
        size: bytes of the content's JSON.
        if_version: the version that must be stored, a tombstone's too; 0 for no live value; None
            for any.
        ttl: how long the value lasts from now.
        mutation_id: by which a repeat is known.
        errors: why it can never be stored.
    """

    index: int
    data_key: str
    kind: Kind = Kind.PUT
    content: Json = None
    size: int = 0
    if_version: int | None = None
    ttl: timedelta | None = None
    mutation_id: str | None = None
    errors: FieldErrors = field(default_factory=list)

    @property
    def pointer(self) -> str:
        """Where it stands in the body."""
        return f"/writes/{self.index}"

    @property
    def is_patch(self) -> bool:
        """Whether it changes what is there."""
        return self.kind in (Kind.MERGE, Kind.PATCH)

    def refuse(self, place: str, code: str, detail: str) -> None:
        """Note why it can never be stored."""
        self.errors.append({"pointer": self.pointer + place, "code": code, "detail": detail})


@dataclass(frozen=True, slots=True)
class Batch:
    """The writes of a batch, and whether they are all done or none."""

    atomic: bool
    items: list[Item]


def parse_batch(body: bytes, *, require_version: bool = False) -> Batch:
    """The batch that a body spells.

    Args:
        body: of the request.
        require_version: whether the app takes no write without `ifVersion`.

    Raises:
        MalformedJson: it is no JSON.
        Invalid: it is no batch at all: too many writes, one without a key, or one key twice.
    """
    sent, suspicious = _parse(body)
    if not isinstance(sent, dict):
        raise Invalid.field("", "wrong_type", "a batch is an object")
    for name in sorted(sent.keys() - _MEMBERS):
        raise Invalid.field(f"/{_part(name)}", "unknown", f"there is no member {_safe(name)!r}")
    if not isinstance(atomic := sent.get("atomic", False), bool):
        raise Invalid.field("/atomic", "wrong_type", "atomic is true or false")
    items = [_item(index, write) for index, write in enumerate(_writes(sent))]
    _see_that_keys_differ(items)
    for item, write in zip(items, sent["writes"], strict=True):
        _read(item, write, suspicious)
        if require_version and "ifVersion" not in write:
            item.refuse("/ifVersion", "missing", "this app takes no write without ifVersion")
    return Batch(atomic, items)


def _parse(body: bytes) -> tuple[Any, bool]:
    """The value that a body spells, and whether something in it may not be stored: then each item
    is looked at."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _parse_exactly(body, f"the body is not valid JSON: {error}"), True
    if has_long_number(body):
        return _parse_exactly(body, "the body is not valid JSON"), True
    return value, b"\\u0000" in body or body.count(b"{") + body.count(b"[") > _MANY_LEVELS


def _parse_exactly(body: bytes, fault: str) -> Any:
    """The value by a parser that keeps integers of any size and halves of surrogate pairs, for the
    items to be named.

    Raises:
        MalformedJson: it is no JSON.
        Invalid: an integer has more digits than Python reads.
    """

    def refuse(_: str) -> NoReturn:
        raise MalformedJson(fault)

    try:
        return json.loads(body, parse_constant=refuse)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJson(fault) from None
    except ValueError:
        raise Invalid.field(
            "", "integer_too_large", "an integer must fit 64 bits with sign"
        ) from None


def _writes(sent: Mapping[str, Any]) -> list[Any]:
    writes = sent.get("writes")
    if "writes" not in sent:
        raise Invalid.field("/writes", "missing", "a batch has writes")
    if not isinstance(writes, list):
        raise Invalid.field("/writes", "wrong_type", "writes is an array")
    if not writes:
        raise Invalid.field("/writes", "too_short", "a batch has at least one write")
    if len(writes) > MOST_WRITES:
        raise Invalid.field(
            "/writes",
            "too_many",
            f"a batch has at most {MOST_WRITES} writes, this one {len(writes)}",
        )
    return writes


def _item(index: int, write: Any) -> Item:
    """The item with its key, without which nothing could be said of it."""
    if not isinstance(write, dict):
        raise Invalid.field(f"/writes/{index}", "wrong_type", "a write is an object")
    if "dataKey" not in write:
        raise Invalid.field(f"/writes/{index}/dataKey", "missing", "a write names its key")
    if not isinstance(key := write["dataKey"], str):
        raise Invalid.field(f"/writes/{index}/dataKey", "wrong_type", "a key is a string")
    return Item(index, key)


def _see_that_keys_differ(items: list[Item]) -> None:
    known: set[str] = set()
    for item in items:
        if item.data_key in known:
            raise Invalid.field(f"{item.pointer}/dataKey", "duplicate", "a batch writes a key once")
        known.add(item.data_key)


def _read(item: Item, write: dict[str, Any], suspicious: bool) -> None:
    if not is_name(item.data_key):
        item.data_key = _safe(item.data_key)
        item.refuse("/dataKey", "malformed", f"dataKey has {NAME_RULE}")
    for name in sorted(write.keys() - _OPTIONS - _KINDS.keys()):
        item.refuse(f"/{_part(name)}", "unknown", f"there is no member {_safe(name)!r}")
    kinds = [kind for name, kind in _KINDS.items() if name in write]
    if len(kinds) == 1:
        item.kind, item.content = kinds[0], write[kinds[0].value]
        _read_content(item, suspicious)
    else:
        detail = "a write has one of value, mergePatch, jsonPatch and delete"
        item.refuse("", "conflicting" if kinds else "missing", detail)
    _read_options(item, write)


def _read_content(item: Item, suspicious: bool) -> None:
    place = f"/{item.kind.value}"
    if item.kind is Kind.DELETE:
        if item.content is not True:
            item.refuse(place, "not_allowed", "delete is true")
        return
    try:
        if suspicious:
            check_value(item.content, item.pointer + place)
        item.size = len(orjson.dumps(item.content))
    except UnstorableValue as error:
        item.errors.append({"pointer": error.pointer, "code": error.code, "detail": error.detail})
        return
    if item.size > MAX_VALUE_BYTES:
        detail = f"a value has at most {MAX_VALUE_BYTES} bytes of JSON, this one has {item.size}"
        item.refuse(place, "too_long", detail)


def _read_options(item: Item, write: dict[str, Any]) -> None:
    if "ifVersion" in write:
        item.if_version = _integer(item, "ifVersion", write["ifVersion"], 0, MOST_INTEGER)
    if "ttl" in write:
        seconds = _integer(item, "ttl", write["ttl"], 1, LONGEST_TTL)
        item.ttl = None if seconds is None else timedelta(seconds=seconds)
        if item.kind is Kind.DELETE:
            item.refuse("/ttl", "conflicting", "what is deleted does not end")
    if "mutationId" in write:
        _read_mutation_id(item, write["mutationId"])


def _read_mutation_id(item: Item, sent: Any) -> None:
    if not isinstance(sent, str):
        item.refuse("/mutationId", "wrong_type", "a mutationId is a string")
    elif not _MUTATION_ID.fullmatch(sent):
        item.refuse(
            "/mutationId", "malformed", "a mutationId has 1 to 64 characters of [A-Za-z0-9._~:-]"
        )
    elif is_unset(sent):  # another write with it would be taken for a repeat, and lost
        item.refuse("/mutationId", "malformed", "a mutationId is one write's own")
    else:
        item.mutation_id = sent


def _integer(item: Item, name: str, sent: Any, least: int, most: int) -> int | None:
    if isinstance(sent, float) and sent.is_integer():
        sent = int(sent)  # an integer to JSON Schema
    if not isinstance(sent, int) or isinstance(sent, bool):
        item.refuse(f"/{name}", "wrong_type", f"{name} is an integer")
    elif not least <= sent <= most:
        item.refuse(f"/{name}", "out_of_range", f"{name} is from {least} to {most}")
    else:
        return sent
    return None


def _safe(text: str) -> str:
    """A text that can be sent back: halves of surrogate pairs are replaced, and it is cut."""
    return text[:256].encode("utf-8", "replace").decode()


def _part(name: str) -> str:
    """A member's name as part of a JSON Pointer."""
    return _safe(name).replace("~", "~0").replace("/", "~1")
