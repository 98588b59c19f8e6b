"""What two people have of which one can have one: which conflicts there are, and what the one who
stays has in the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import MergeConflict, Restricted
from app.relations.guards import check_references
from models.app_data_merge import KIND, find_conflicts
from models.base import Raw, now
from models.card import Card
from models.deletion import Side
from models.owned import OneToOne
from models.preferences import Preferences, PreferencesContent
from models.profile import Profile, ProfileContent
from models.project import Project
from models.user import User

Kind = Literal["account", "appData", "email", "preferences", "profile", "projects", "user"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Keep = Mapping[str, Side]
MOST: Final = 1000
_TOLD: Final = ("name", "role", "valuUserId", "merkosUserId")
_ADDRESS: Final = ("email", "emailVerifiedAt", "claimedEmail")
_ONE_EACH: Final[dict[type[OneToOne], tuple[Kind, type[Any]]]] = {
    Profile: ("profile", ProfileContent),
    Preferences: ("preferences", PreferencesContent),
}
_LIMITS: Final = {"roles": 64, "permissions": 256}
_UNION: Final = tuple(_LIMITS)


@dataclass(slots=True)
class Joined:
    """What becomes of the one who stays.

    Attributes:
        keep: whose is kept, by kind.
        conflicts: what both have, `{"kind", …}` each, whether it was chosen or not.
        user: stored fields of the user that change.
        one_each: stored fields that change of what each user has one of.
    """

    keep: Keep
    conflicts: list[Raw] = field(default_factory=list)
    user: Raw = field(default_factory=dict)
    one_each: dict[type[OneToOne], Raw] = field(default_factory=dict)

    def differ(self, kind: Kind, **where: Any) -> bool:
        """Note a conflict. Whether the source's is kept."""
        self.conflicts.append({"kind": kind, **where})
        return self.keep.get(kind) == "source"

    def fill(self, kind: Kind, names: Iterable[str], source: Raw, target: Raw, default: Raw) -> Raw:
        """The fields that change so that the target has what the source says and they do not."""
        changes = {}
        for name in names:
            mine, theirs = source.get(name), target.get(name)
            if mine in (None, default.get(name)) or mine == theirs:
                continue
            empty = theirs in (None, default.get(name))
            if empty or self.differ(kind, field=name):
                changes[name] = mine
        return changes

    def refuse(self) -> None:
        """Raise MergeConflict where something is not chosen, with all of it."""
        if open_ := [each for each in self.conflicts if each["kind"] not in self.keep]:
            raise MergeConflict(
                "both have something of which one can have one: choose by `keep`",
                extra={"conflicts": open_},
            )


def chosen_by(keep: Side | Mapping[Kind, Side]) -> Keep:
    """Whose is kept by kind, of what a body says: for all, or by kind."""
    if isinstance(keep, str):
        return dict.fromkeys(KINDS, keep)
    return {str(kind): side for kind, side in keep.items()}


def _texts(row: Raw, name: str) -> list[str]:
    """The texts of a list; none of what is no list of texts."""
    found = row.get(name, [])
    is_list = isinstance(found, list) and all(isinstance(each, str) for each in found)
    return found if is_list else []


async def joined(
    source: Raw, target: Raw, keep: Keep, session: AsyncClientSession | None = None
) -> Joined:
    """What a merge of two stored users makes, app data left out (see `app_data_conflicts`)."""
    found = Joined(keep)
    found.user |= found.fill("user", _TOLD, source, target, {})
    found.user |= _address(found, source, target)
    found.user |= {
        name: [*dict.fromkeys([*_texts(target, name), *_texts(source, name)])][: _LIMITS[name]]
        for name in _UNION
    }
    mine, theirs = source.get("accountId"), target.get("accountId")
    if mine not in (None, theirs) and (theirs is None or found.differ("account")):
        found.user["accountId"] = mine
    for document, (kind, content) in _ONE_EACH.items():
        rows = [await _one_of(document, each["_id"], session) for each in (source, target)]
        names = [str(each.alias) for each in content.model_fields.values()]
        default = document(user_id=target["_id"]).stored()
        found.one_each[document] = found.fill(kind, names, rows[0], rows[1], default)
    await _projects(found, source["_id"], target["_id"], session)
    return found


def _address(found: Joined, source: Raw, target: Raw) -> Raw:
    """The email goes with when it was proven."""
    mine, theirs = source.get("email"), target.get("email")
    if mine is None or (theirs is not None and not found.differ("email")):
        return {}
    return {name: source.get(name) for name in _ADDRESS}


async def _one_of(
    document: type[OneToOne], user_id: ObjectId, session: AsyncClientSession | None
) -> Raw:
    return await document.raw().find_one({"userId": user_id}, session=session) or {}


async def _projects(
    found: Joined, source: ObjectId, target: ObjectId, session: AsyncClientSession | None
) -> None:
    """Where both are members, and not alike."""
    where = {"members.userId": source, "members": {"$elemMatch": {"userId": target}}}
    async for row in Project.raw().find(where, session=session):
        roles = {each["userId"]: each["role"] for each in row["members"]}
        if roles.get(target) not in (None, roles[source]):
            found.differ("projects", projectId=str(row["_id"]))


async def app_data_conflicts(source: ObjectId, target: ObjectId) -> list[Raw]:
    """The keys under which both have a live value that is not the same, so many at most."""
    return [{"kind": KIND, **each} for each in await find_conflicts(source, target, MOST)]


async def blockers_of(
    source: Raw, target: Raw, found: Joined, session: AsyncClientSession | None = None
) -> list[Raw]:
    """Cards that no choice brings along: they are of another account than the user will be."""
    account = found.user.get("accountId", target.get("accountId"))
    blockers = []
    for user in (source, target):
        if user.get("accountId") in (None, account):
            continue
        cards = Card.raw().find({"userId": user["_id"]}, {"_id": 1}, session=session).limit(100)
        if ids := [str(row["_id"]) async for row in cards]:
            blockers.append({"collection": "cards", "ids": ids, "reason": "cards.userId"})
    return blockers


def refuse_cards(blockers: list[Raw]) -> None:
    """Raise Restricted where there are any."""
    if blockers:
        raise Restricted(
            "cards of another account refer to one of them", extra={"blockers": blockers}
        )


async def write(
    found: Joined, target: Raw, extra: Raw, highest: Raw, session: AsyncClientSession
) -> None:
    """Store what the target has in the end; the source is gone.

    Args:
        found: what changes.
        target: the stored user.
        extra: further fields of the user.
        highest: fields of the user that only ever grow.
        session: of the transaction.

    Raises:
        BadReference: the source's account takes no users.
    """
    if found.user.get("accountId") is not None:
        moves = {"_id": target["_id"], "accountId": found.user["accountId"]}
        await check_references(User, moves, session)
    update = _update({**found.user, **extra})
    if grown := {name: value for name, value in highest.items() if value is not None}:
        update["$max"] = grown
    await User.raw().update_one({"_id": target["_id"]}, update, session=session)
    for document, fields in found.one_each.items():
        if fields:
            where = {"userId": target["_id"]}
            await document.raw().update_one(where, _update(fields), session=session)


def _update(fields: Raw) -> Raw:
    kept = {name: value for name, value in fields.items() if value is not None}
    update: Raw = {"$set": {**kept, "updatedAt": now()}, "$inc": {"version": 1}}
    if gone := {name: "" for name, value in fields.items() if value is None}:
        update["$unset"] = gone
    return update
