"""Finding people: by what is theirs alone, or lists of those who have something in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId

from app.web.cursors import decode_cursor
from app.web.paging import newest, page
from models.auth_identity import PHONE, AuthIdentity
from models.base import Raw
from models.living import only_living
from models.user import INACTIVE, User

_FIRST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(2106, 1, 1, tzinfo=UTC)
_ASTRAY: Final = timedelta(days=1)
"""How far the clock by which an id was made may be from the database's."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Who is looked for: whoever has all that is told.

    Attributes:
        keys: `email` (canonical), `valuUserId`, `merkosUserId`, by stored name.
        phone: in E.164.
        prefix: of the name.
        role: which they have chosen, or been given.
        account_id: whose users they are.
        since: when they were made at the earliest.
        until: before when they were made.
        status: `active` or `inactive`.
    """

    keys: Mapping[str, str]
    phone: str | None = None
    prefix: str | None = None
    role: str | None = None
    account_id: ObjectId | None = None
    since: datetime | None = None
    until: datetime | None = None
    status: str | None = None

    @property
    def is_one(self) -> bool:
        """Whether it names somebody, who is looked up; else they are listed."""
        return bool(self.keys) or self.phone is not None

    def admits(self, row: Raw) -> bool:
        """Whether a user who was found by a key has the rest, too."""
        name = (row.get("name") or "").casefold()
        return (
            all(row.get(field) == value for field, value in self._alike.items())
            and (self.status is None or row.get("status", "active") == self.status)
            and (self.prefix is None or name.startswith(self.prefix.casefold()))
            and (self.since is None or row["createdAt"] >= self.since)
            and (self.until is None or row["createdAt"] < self.until)
        )

    @property
    def _alike(self) -> Raw:
        told = {"role": self.role, "accountId": self.account_id}
        if self.status == INACTIVE:
            told["status"] = self.status
        return {**self.keys, **{name: each for name, each in told.items() if each is not None}}

    @property
    def where(self) -> Raw:
        """The filter of a list in the order of ids, which begin with when they were made."""
        made: Raw = {}
        ids: Raw = {}
        if self.since is not None:
            made["$gte"], ids["$gte"] = self.since, _id_at(self.since, -_ASTRAY)
        if self.until is not None:
            made["$lt"], ids["$lt"] = self.until, _id_at(self.until, _ASTRAY)
        spans = {"createdAt": made, "_id": ids} if made else {}
        active = {"status": {"$in": ["active", None]}} if self.status == "active" else {}
        return {**self._alike, **spans, **active}


def _id_at(moment: datetime, by: timedelta) -> ObjectId:
    """The first id of a second, which ids have 32 bits for: of times before and after, of the first
    or the last."""
    return ObjectId.from_datetime(min(max(moment, _FIRST), _LAST) + by)


async def find_users(
    sought: Sought, limit: int, cursor: str | None
) -> tuple[list[Raw], str | None]:
    """A page of the stored users who are sought, and the cursor of the next one.

    Those who are listed by `prefix` come in the order of their names, all others the newest first.
    """
    if sought.is_one:
        return await only_living(User, await _look_up(sought)), None
    if sought.prefix is None:
        rows, following = await newest(User, sought.where, limit, cursor)
        return await only_living(User, rows), following
    after: Any = decode_cursor(cursor, str, ObjectId)
    found = await User.page_by_name(sought.prefix, sought.where, limit + 1, after)
    rows, following = page(found, limit, lambda row: (row["name"], row["_id"]))
    return await only_living(User, rows), following


async def _look_up(sought: Sought) -> list[Raw]:
    if sought.keys:
        rows = await User.find_by_keys(sought.keys)
    else:
        rows = []
    if sought.phone is not None:
        identity = await AuthIdentity.find_by_provider(PHONE, sought.phone)
        owner = None if identity is None else identity.user_id
        if not sought.keys and owner is not None:
            rows = list((await User.fetch([owner])).values())
        rows = [row for row in rows if row["_id"] == owner]
    return [row for row in rows if sought.admits(row)]
