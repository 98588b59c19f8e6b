"""Whom the lines of an import mean: everybody whom any of their keys finds, by few queries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.people.lines.told import Key, Told
from models.auth_identity import AuthIdentity
from models.base import Raw, now
from models.budget import Budget
from models.external_id import ExternalId
from models.living import only_living
from models.user import User

OF_USERS: Final = ("email", "valuUserId", "merkosUserId")
"""Keys that are fields of the user."""
_NOT_UNIQUE: Final = ("valuUserId", "merkosUserId")
_KEPT: Final = timedelta(minutes=10)


@dataclass(slots=True)
class Found:
    """Whom keys find, and the stored users; `going` are those whose deletion is under way.

    A `valuUserId` or `merkosUserId` may find several: it has no unique index.
    """

    by_key: defaultdict[Key, set[ObjectId]] = field(default_factory=lambda: defaultdict(set))
    users: dict[ObjectId, Raw] = field(default_factory=dict)
    going: set[ObjectId] = field(default_factory=set)

    def of(self, told: Told) -> set[ObjectId]:
        """Everybody whom the keys of a line find."""
        return {each for key in told.keys if key in self.by_key for each in self.by_key[key]}


async def find_people(people: Sequence[Told], session: AsyncClientSession) -> Found:
    """Whom the lines mean, as of the transaction of the session."""
    found, wanted = Found(), _by_kind(key for told in people for key in told.keys)
    for kind in OF_USERS:
        if values := wanted.get((kind, "")):
            rows = await User.raw().find({kind: {"$in": values}}, session=session).to_list()
            for row in rows:
                found.users[row["_id"]] = row
                found.by_key[Key(kind, row[kind])].add(row["_id"])
    ids = [ObjectId(value) for value in wanted.get(("id", ""), ())]
    for user_id, row in (await User.fetch(ids, session) if ids else {}).items():
        found.users[user_id] = row
        found.by_key[Key("id", str(user_id))].add(user_id)
    for (kind, first), values in wanted.items():
        if kind == "identity":
            where: Raw = {"provider": first, "providerId": {"$in": values}}
            for row in await AuthIdentity.raw().find(where, session=session).to_list():
                found.by_key[Key(kind, first, row["providerId"])].add(row["userId"])
        elif kind == "externalId":
            where = {"appId": first, "externalId": {"$in": values}}
            for row in await ExternalId.raw().find(where, session=session).to_list():
                found.by_key[Key(kind, first, row["externalId"])].add(row["userId"])
    everybody = set[ObjectId]().union(*found.by_key.values())
    missing = everybody - found.users.keys()
    found.users |= await User.fetch(missing, session) if missing else {}
    living = {row["_id"] for row in await only_living(User, list(found.users.values()))}
    found.going = everybody - living
    return found


def _by_kind(keys: Iterable[Key]) -> dict[tuple[str, str], list[str]]:
    """The values of keys, by what one query asks for."""
    wanted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        if key.kind in (*OF_USERS, "id"):
            wanted[key.kind, ""].append(key.first)
        else:
            wanted[key.kind, key.first].append(key.second)
    return wanted


async def stand_alone(people: Iterable[Told], session: AsyncClientSession) -> None:
    """Let no other import make a person of the same `valuUserId` or `merkosUserId` at once.

    These have no unique index. So each is counted up in this transaction, and of two that count up
    the same one is run again, and finds who was made by the other.
    """
    until = now() + _KEPT
    names = sorted({_name(key) for told in people for key in told.keys if key.kind in _NOT_UNIQUE})
    counted = [
        UpdateOne({"_id": name}, {"$inc": {"spent": 1}, "$set": {"expiresAt": until}}, upsert=True)
        for name in names
    ]
    if counted:
        await Budget.raw().bulk_write(counted, ordered=False, session=session)


def _name(key: Key) -> str:
    return f"imported:{sha256(f'{key.kind} {key.first}'.encode()).hexdigest()[:40]}"
