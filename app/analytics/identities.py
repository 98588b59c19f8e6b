"""Who is who: anonymous and external ids that turn out to be somebody, and traits that may be written."""

from collections.abc import Iterable
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.analytics.intake import Intake
from app.analytics.segment import Identity
from app.database import transaction
from app.errors import Forbidden, NotFound
from app.principal import Principal, may, spare_admins
from app.relations.guards import refer
from models.base import Raw, now, parse_id
from models.external_id import ExternalId
from models.person import IdentityJoin
from models.profile import Profile
from models.user import User

_LONGEST_TRAIT: Final = 512
_LARGEST_METADATA: Final = 8192


async def note_identities(principal: Principal, found: Iterable[Identity], process: Intake) -> None:
    """Keep what a batch says of who is who, for the worker; write the traits that may be written.

    The first word counts: an id that was joined to somebody stays joined. A person who is not there is nobody's join.
    """
    for identity in found:
        user = await _user(identity, process)
        for source in _sources(identity, principal):
            if source != _key(identity, user):
                await join(source, identity.app_id, user, identity.user_id)
        if user is not None and identity.traits:
            await _write_traits(principal, identity, user, process)


async def join(source: str, app_id: str, user: ObjectId | None, external_id: str) -> None:
    """Have the worker count a key's events as a user's, or as those of an external id."""
    if await IdentityJoin.raw().find_one({"_id": source}, {"_id": 1}) is not None:
        return
    row: Raw = {"_id": source, "appId": app_id, "createdAt": now(), "updatedAt": now(), "version": 1, "due": True}
    row |= {"userId": user} if user is not None else {"externalId": external_id}

    async def refer_and_add(session: AsyncClientSession) -> None:
        if user is not None:
            await refer(IdentityJoin, row, session)
        await IdentityJoin.raw().insert_one(row, session=session)

    try:
        await transaction(refer_and_add)
    except (DuplicateKeyError, NotFound):  # somebody else's word was first, or the user is gone
        return


async def link(app_id: str, external_id: str, user_id: ObjectId, process: Intake) -> bool:
    """Say that an external id of an app is a user: their events are the user's from now on, and so are earlier ones.

    Returns:
        Whether that is new.

    Raises:
        NotFound: there is no such user.
        pymongo.errors.DuplicateKeyError: it is another user.
    """
    if await ExternalId.raw().find_one({"appId": app_id, "externalId": external_id, "userId": user_id}) is not None:
        return False
    row = ExternalId(app_id=app_id, external_id=external_id, user_id=user_id).stored()
    row["_id"] = ObjectId()
    moment = now()
    key = f"{app_id}/e:{external_id}"
    times: Raw = {"createdAt": moment, "updatedAt": moment}
    wanted: Raw = {"appId": app_id, "userId": user_id, **times, "version": 1, "due": True}

    async def work(session: AsyncClientSession) -> None:
        await refer(ExternalId, row, session)
        await ExternalId.raw().insert_one(dict(row), session=session)
        await IdentityJoin.raw().replace_one({"_id": key}, wanted, upsert=True, session=session)

    await transaction(work)
    process.forget(app_id, external_id)
    return True


async def _user(identity: Identity, process: Intake) -> ObjectId | None:
    """Our user whom an identity names, None for an id of the client's own."""
    user_id = parse_id(identity.user_id)
    if user_id is not None:
        try:
            await process.leases.hold(User, user_id)
        except NotFound:
            return None
        return user_id
    return (await process.linked(identity.app_id, [identity.user_id])).get(identity.user_id)


def _sources(identity: Identity, principal: Principal) -> list[str]:
    """The keys that an identity speaks of. A previous id may be external: that is for keys that may write users."""
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


async def _write_traits(principal: Principal, identity: Identity, user_id: ObjectId, process: Intake) -> None:
    """Traits on the app's allow-list go into the profile's metadata, if the key may write users: no public one."""
    allowed = (await process.apps.settings_of(identity.app_id)).identify_traits
    traits = {f"metadata.{name}": identity.traits[name] for name in allowed if _is_trait(identity.traits.get(name))}
    if not traits or not await _may_write(principal, user_id):
        return
    room = {"$expr": {"$lt": [{"$bsonSize": {"$ifNull": ["$metadata", {}]}}, _LARGEST_METADATA]}}
    update = {"$set": {**traits, "updatedAt": now()}, "$inc": {"version": 1}}
    await Profile.raw().update_one({"userId": user_id, **room}, update)


async def _may_write(principal: Principal, user_id: ObjectId) -> bool:
    if not may(principal, "users:write", user_id=user_id):
        return False
    try:
        await spare_admins(principal, user_id)
    except Forbidden:
        return False
    return True


def _is_trait(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST_TRAIT)
