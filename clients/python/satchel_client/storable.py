"""What a server would refuse, found before it is kept or sent: keys, values, and more than the
quota leaves room for."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from satchel_client.errors import Unstorable
from satchel_client.values import MISSING, Json, Missing

MOST_BYTES: Final = 512 * 1024
MOST_BATCH: Final = 200
QUOTA_HEADER: Final = "satchel-quota"
_MOST_LEVELS: Final = 64
_SHORT: Final = (",", ":")
_LEAST, _MOST = -(2**63), 2**63 - 1
_KEY: Final = re.compile(r"(?:\.{0,2}[A-Za-z0-9_~:-]|\.{3})[A-Za-z0-9._~:-]{0,255}")
_KEY_LENGTH: Final = 256
_KEY_RULE: Final = "a key has 1 to 256 characters of [A-Za-z0-9._~:-], and is neither . nor .."
_PART: Final = re.compile(r"(keys|bytes)=(\d+)(?:;allowed=(\d+))?")
_FULL: Final = "the app keeps as much of this person as it may: delete, or shrink, something"


def check_key(key: str) -> None:
    """See that a key is one.

    Raises:
        Unstorable: it is not.
    """
    if len(key) > _KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise _invalid("/dataKey", "malformed", _KEY_RULE)


def check_value(value: Json) -> Json:
    """A copy of a value as JSON has it.

    Raises:
        Unstorable: no server would take it; `errors` says where and why.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=_SHORT)
    except TypeError as error:
        raise _invalid("", "wrong_type", str(error)) from None
    except (RecursionError, ValueError):  # a value that holds itself, too
        raise _too_deep("") from None
    copy = json.loads(text)
    _check(copy, "", 0)
    if (size := len(text.encode())) > MOST_BYTES:
        detail = f"a value has at most {MOST_BYTES} bytes of JSON, this one has {size}"
        raise Unstorable("too_large", [{"pointer": "", "code": "too_long", "detail": detail}])
    return copy


def dumped(value: Json) -> str:
    """The JSON of a value, as short as it can be: as it is sent, and as the server counts it."""
    return json.dumps(value, ensure_ascii=False, separators=_SHORT, allow_nan=False)


def size_of(value: Json | Missing) -> int:
    """Bytes of a value's JSON, 0 where there is none."""
    return 0 if value is MISSING else len(dumped(value).encode())


def _check(value: Json, pointer: str, depth: int) -> None:
    if isinstance(value, (dict, list)):
        if depth >= _MOST_LEVELS:
            raise _too_deep(pointer)
        for part, item in _parts(value):
            if isinstance(part, str):
                _check_name(part, f"{pointer}/{_escaped(part)}")
            _check(item, f"{pointer}/{_escaped(str(part))}", depth + 1)
    elif isinstance(value, str):
        _check_text(value, pointer)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _invalid(pointer, "not_finite", "NaN and Infinity are not JSON")
    elif isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise _invalid(pointer, "integer_too_large", "an integer must fit 64 bits with sign")


def _parts(value: Any) -> Iterable[tuple[str | int, Json]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _check_name(name: str, pointer: str) -> None:
    if "\0" in name:
        raise _invalid(pointer, "nul_in_key", "a key must not contain U+0000")
    _check_text(name, pointer)


def _check_text(text: str, pointer: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid(pointer, "not_unicode", "a string holds half of a surrogate pair") from None


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()


def _too_deep(pointer: str) -> Unstorable:
    return _invalid(pointer, "too_deep", f"JSON may be nested {_MOST_LEVELS} levels deep")


def _invalid(pointer: str, code: str, detail: str) -> Unstorable:
    return Unstorable("invalid", [{"pointer": pointer, "code": code, "detail": detail}])


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much changes make what the app keeps more, or less."""

    keys: int = 0
    bytes: int = 0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.keys + other.keys, self.bytes + other.bytes)


def growth(before: Json | Missing, after: Json | Missing) -> Growth:
    """By how much one change does."""
    keys = (after is not MISSING) - (before is not MISSING)
    return Growth(keys, size_of(after) - size_of(before))


@dataclass(frozen=True, slots=True)
class Quota:
    """How much the app keeps of the person, and may keep, as the server told last.

    Attributes:
        used: keys and bytes.
        keys: how many it may keep; None for any number.
        bytes: likewise.
    """

    used: Growth
    keys: int | None
    bytes: int | None

    @classmethod
    def parse(cls, header: str) -> "Quota":
        """What `Satchel-Quota` says."""
        found = {name: (int(used), most) for name, used, most in _PART.findall(header)}
        (keys, most_keys), (size, most_bytes) = (
            found.get(name, (0, "")) for name in ("keys", "bytes")
        )
        return cls(Growth(keys, size), _bound(most_keys), _bound(most_bytes))

    def check(self, grown: Growth, waiting: Growth) -> None:
        """See that there is room for a change beside those that wait. What does not grow has room.

        Raises:
            Unstorable: there is none.
        """
        total = self.used + waiting + grown
        keys = grown.keys > 0 and self.keys is not None and total.keys > self.keys
        if keys or (grown.bytes > 0 and self.bytes is not None and total.bytes > self.bytes):
            error = {"pointer": "", "code": "quota_exceeded", "detail": _FULL}
            raise Unstorable("quota_exceeded", [error])


def _bound(most: str) -> int | None:
    return int(most) if most else None
