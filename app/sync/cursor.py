"""Cursors of changes: the moment up to which everything was sent, and what was sent that is too
young to be sure of.

A cursor is opaque and keeps for as long as tombstones do. It is good for one user, app and filter,
and for the epoch of the deployment; whoever may read the user's data of the app may use it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct, error
from typing import Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.errors import CursorExpired, Invalid
from app.web.etags import sealed
from models.app_data_changes import Position, Source

MOST_SENT: Final = 64
ANEW: Final = (
    "ask again without since and take what you get for all there is: keys that are not in it are"
    " gone, but for those that you have not sent yet"
)
_FOREIGN: Final = "the cursor is none that was given for this user and app"
_LONGEST: Final = 4096
_FORMAT: Final = 1
_DIGEST, _SEAL, _EPOCH, _FILTER = 8, 10, 4, 6
_HEAD: Final = Struct(f">B{_EPOCH}s{_FILTER}sIIIIBBBH")
_STAMP: Final = Struct(">II12s")
_NO_TIME: Final = ClusterTime(0, 0)
_EVERYTHING, _FULL, _WAS_FULL, _STAMPED, _KEYED = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client stands.

    Attributes:
        at: everything that was committed up to then was sent; None: nothing was.
        ends: within a pass of several pages, the time that it ends as: that of its first page's
            snapshot.
        after: within a pass, the last row: its stamp and `_id`, its key where the live values are
            listed.
        sent: digests of the versions sent by `at` whose stamps lie within the overlap before it.
        is_full: there are more of them than a cursor has room for: the snapshot at `at` tells.
        passed: within a pass, the digests that its end is to carry.
        passes_full: within a pass, whether these are too many.
    """

    at: ClusterTime | None = None
    ends: ClusterTime | None = None
    after: Position | str | None = None
    sent: frozenset[bytes] = frozenset()
    is_full: bool = False
    passed: frozenset[bytes] = frozenset()
    passes_full: bool = False


def digest(key: ObjectId, version: int) -> bytes:
    """What a cursor keeps of a version that was sent."""
    return blake2b(key.binary + version.to_bytes(8, "big"), digest_size=_DIGEST).digest()


def cursor_at(user_id: ObjectId, app_id: str, at: ClusterTime, prefix: str = "") -> str:
    """The cursor of who has everything that was committed up to a moment."""
    return encode(Cursor(at=at, is_full=True), Source(user_id, app_id, prefix))


def encode(cursor: Cursor, source: Source) -> str:
    """A cursor as it is sent."""
    at, ends = cursor.at or _NO_TIME, cursor.ends or _NO_TIME
    flags = (
        _EVERYTHING * (cursor.at is None) | _FULL * cursor.is_full | _WAS_FULL * cursor.passes_full
    )
    position = b""
    if isinstance(cursor.after, str):
        flags, position = flags | _KEYED, cursor.after.encode()
    elif cursor.after is not None:
        stamp, key = cursor.after
        flags, position = flags | _STAMPED, _STAMP.pack(stamp.time, stamp.inc, key.binary)
    times = (at.time, at.inc, ends.time, ends.inc)
    sizes = (len(cursor.sent), len(cursor.passed), len(position))
    head = _HEAD.pack(_FORMAT, _epoch(), _filter(source), *times, flags, *sizes)
    body = head + position + b"".join((*sorted(cursor.sent), *sorted(cursor.passed)))
    return urlsafe_b64encode(body + _seal(body, source)).rstrip(b"=").decode()


def decode(text: str, user_id: ObjectId, app_id: str, prefix: str = "") -> Cursor:
    """The cursor that a client sends.

    Raises:
        CursorExpired: it is of another filter, or of another epoch.
        Invalid: it is none that was given for this user and app.
    """
    source = Source(user_id, app_id, prefix)
    try:
        return _opened(text, source)
    except (ValueError, UnicodeError, error):
        raise Invalid.field("?since", "malformed", _FOREIGN) from None


def _digests(text: bytes, count: int) -> list[bytes]:
    return [text[start : start + _DIGEST] for start in range(0, count * _DIGEST, _DIGEST)]


def _opened(text: str, source: Source) -> Cursor:
    if len(text) > _LONGEST:
        raise ValueError("too long")
    sealed_body = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    body, seal = sealed_body[:-_SEAL], sealed_body[-_SEAL:]
    form, epoch, filtered, *times, flags, sent, passed, size = _HEAD.unpack_from(body)
    if form == _FORMAT and epoch != _epoch():
        raise CursorExpired(f"the cursor is of another epoch, before a backup was restored: {ANEW}")
    if form != _FORMAT or not compare_digest(seal, _seal(body, source)):
        raise ValueError("not ours")
    if filtered != _filter(source):
        raise CursorExpired(f"the cursor is of another prefix: {ANEW}")
    at, ends = ClusterTime(times[0], times[1]), ClusterTime(times[2], times[3])
    rest = body[_HEAD.size :]
    digests = _digests(rest[size:], sent + passed)
    return Cursor(
        at=None if flags & _EVERYTHING else at,
        ends=ends if ends != _NO_TIME else None,
        after=_position(flags, rest[:size]),
        sent=frozenset(digests[:sent]),
        is_full=bool(flags & _FULL),
        passed=frozenset(digests[sent:]),
        passes_full=bool(flags & _WAS_FULL),
    )


def _position(flags: int, packed: bytes) -> Position | str | None:
    if flags & _KEYED:
        return packed.decode()
    if not flags & _STAMPED:
        return None
    time, inc, key = _STAMP.unpack(packed)
    return ClusterTime(time, inc), ObjectId(key)


def _seal(body: bytes, source: Source) -> bytes:
    return sealed(body + source.user_id.binary + source.app_id.encode(), _SEAL)


def _epoch() -> bytes:
    return sealed(b"epoch", _EPOCH)


def _filter(source: Source) -> bytes:
    return blake2b(source.prefix.encode(), digest_size=_FILTER).digest()
