"""Who is who: anonymous and external ids that turn out to be somebody, and traits that may be
written."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.analytics.ingest.intake import Intake
from app.analytics.ingest.segment import Identity
from app.database import transaction
from app.database.turns import Patience
from app.identity.caller import speaks_for_admins
from app.identity.principal import Principal, may
from app.relations.guards import check_references
from models.base import Raw, now, parse_id
from models.external_id import ExternalId
from models.living import living
from models.person import IdentityJoin
from models.profile import Profile
from models.user import User, administers

_JOINS_AT_ONCE: Final = 500
_DUPLICATE_KEY: Final = 11000
_LONGEST_TRAIT: Final = 512
_LARGEST_METADATA: Final = 8192


async def note_identities(principal: Principal, found: Iterable[Identity], process: Intake) -> None:
    """Keep what a batch says of who is who, for the worker; write the traits that may be written.

    The first word counts: an id that was joined to somebody stays joined. A person who is not there
        is nobody's join.
    """
    told = list(found)
    users = await _users(told, process)
    said = [
        _join_row(source, identity.app_id, user, identity.user_id)
        for identity, user in zip(told, users, strict=True)
        for source in _sources(identity, principal)
        if source != _key(identity, user)
    ]
    for start in range(0, len(said), _JOINS_AT_ONCE):
        await _keep_first_words(said[start : start + _JOINS_AT_ONCE])
    await _write_traits(principal, list(zip(told, users, strict=True)), process)


async def _keep_first_words(said: list[Raw]) -> None:
    """Have the worker carry out what was said of ids that nothing was said of before, of users who
    are there."""
    patience = Patience()
    while True:
        first: dict[str, Raw] = {}
        for row in said:
            first.setdefault(row["_id"], row)
        known = await IdentityJoin.fetch(first, fields=["_id"])
        fresh = [row for name, row in first.items() if name not in known]
        if not fresh:
            return
        try:
            gone = await transaction(partial(_add_joins, fresh))
        except BulkWriteError as error:
            if {each["code"] for each in (error.details or {}).get("writeErrors", [])} != {
                _DUPLICATE_KEY
            }:
                raise
            await patience.again()  # somebody else's word was first: look whose
            continue
        if not gone:
            return
        said = [row for row in said if row.get("userId") not in gone]


async def _add_joins(rows: list[Raw], session: AsyncClientSession) -> set[ObjectId]:
    """Insert the joins to users who live, and to ids of the app's own. The users who do not
    live."""
    users = {row["userId"] for row in rows if "userId" in row}
    there: set[ObjectId] = set()
    if users:
        await User.raw().update_many(
            {"_id": {"$in": list(users)}}, {"$inc": {"guard": 1}}, session=session
        )
        there = await living(User, users, session=session)
    kept = [row for row in rows if "userId" not in row or row["userId"] in there]
    if kept:
        await IdentityJoin.raw().insert_many(kept, session=session)
    return users - there


def _join_row(source: str, app_id: str, user: ObjectId | None, external_id: str) -> Raw:
    moment = now()
    row: Raw = {
        "_id": source,
        "appId": app_id,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
        "due": True,
    }
    return row | ({"userId": user} if user is not None else {"externalId": external_id})


async def link(app_id: str, external_id: str, user_id: ObjectId, process: Intake) -> bool:
    """Say that an external id of an app is a user: their events are the user's from now on, and so
    are earlier ones.

    Returns:
        Whether that is new.

    Raises:
        NotFound: there is no such user.
        pymongo.errors.DuplicateKeyError: it is another user.
    """
    linked = {"appId": app_id, "externalId": external_id, "userId": user_id}
    if await ExternalId.raw().find_one(linked) is not None:
        return False
    row = ExternalId(app_id=app_id, external_id=external_id, user_id=user_id).stored()
    row["_id"] = ObjectId()
    moment = now()
    key = f"{app_id}/e:{external_id}"
    times: Raw = {"createdAt": moment, "updatedAt": moment}
    wanted: Raw = {
        "appId": app_id,
        "userId": user_id,
        **times,
        "version": 1,
        "due": True,
        "accepted": True,
    }

    async def work(session: AsyncClientSession) -> None:
        await check_references(ExternalId, row, session)
        await ExternalId.raw().insert_one(dict(row), session=session)
        await IdentityJoin.raw().replace_one({"_id": key}, wanted, upsert=True, session=session)

    try:
        await transaction(work)
    except DuplicateKeyError:
        if await ExternalId.raw().find_one(linked) is None:
            raise
        return False  # somebody else was just saying the same
    process.forget(app_id, external_id)
    return True


async def _users(told: Sequence[Identity], process: Intake) -> list[ObjectId | None]:
    """Our users whom identities name; None for an id of the client's own, and for a user who is not
    there."""
    ours = {user for identity in told if (user := parse_id(identity.user_id)) is not None}
    gone = await process.leases.hold_living(User, ours)
    linked: dict[str, dict[str, ObjectId]] = {}
    for app_id in {identity.app_id for identity in told}:
        named = {identity.user_id for identity in told if identity.app_id == app_id}
        external = {each for each in named if parse_id(each) is None}
        linked[app_id] = await process.linked(app_id, external)

    def user_of(identity: Identity) -> ObjectId | None:
        user = parse_id(identity.user_id)
        if user is None:
            return linked[identity.app_id].get(identity.user_id)
        return None if user in gone else user

    return [user_of(identity) for identity in told]


def _sources(identity: Identity, principal: Principal) -> list[str]:
    """The keys that an identity speaks of. A previous id may be external: that is for keys that may
    write users."""
    keys = []
    if identity.anonymous_id is not None:
        keys.append(f"{identity.app_id}/a:{identity.anonymous_id}")
    if identity.previous_id is not None and parse_id(identity.previous_id) is None:
        keys.append(f"{identity.app_id}/a:{identity.previous_id}")
        if "users:write" in principal.scopes or principal.is_admin:
            keys.append(f"{identity.app_id}/e:{identity.previous_id}")
    return keys


def _key(identity: Identity, user: ObjectId | None) -> str:
    return f"u:{user}" if user is not None else f"{identity.app_id}/e:{identity.user_id}"


async def _write_traits(
    principal: Principal, told: Sequence[tuple[Identity, ObjectId | None]], process: Intake
) -> None:
    """Traits on the app's allow-list go into the profile's metadata, if the key may write users: no
    public one."""
    wanted: dict[ObjectId, Raw] = {}
    for identity, user in told:
        if user is None or not identity.traits or not may(principal, "users:write", user_id=user):
            continue
        for name in (await process.apps.settings_of(identity.app_id)).identify_traits:
            if _is_trait(value := identity.traits.get(name)):
                wanted.setdefault(user, {})[f"metadata.{name}"] = value
    for user in await _admins_to_spare(principal, wanted):
        del wanted[user]
    if wanted:
        await Profile.raw().bulk_write([_traits(*each) for each in wanted.items()], ordered=False)


def _traits(user: ObjectId, traits: Raw) -> UpdateOne:
    room = {"$expr": {"$lt": [{"$bsonSize": {"$ifNull": ["$metadata", {}]}}, _LARGEST_METADATA]}}
    return UpdateOne(
        {"userId": user, **room}, {"$set": {**traits, "updatedAt": now()}, "$inc": {"version": 1}}
    )


async def _admins_to_spare(principal: Principal, users: Iterable[ObjectId]) -> list[ObjectId]:
    """Those of these users whom only an admin changes, where the caller is none."""
    wanted = list(users)
    if not wanted or speaks_for_admins(principal):
        return []
    rows = User.raw().find({"_id": {"$in": wanted}}, {"role": 1, "roles": 1})
    return [row["_id"] async for row in rows if administers(row)]


def _is_trait(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (
        isinstance(value, str) and len(value) <= _LONGEST_TRAIT
    )
