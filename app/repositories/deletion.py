"""Deletions around repositories: webhooks of connections are removed by a job; projects keep an
admin."""

from collections.abc import Iterable, Sequence
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.relations.hooks import Carried, Hooks, Merge
from app.repositories.links import links_of
from models.base import Raw, now
from models.living import living
from models.outside_link import OutsideLink
from models.project import Project
from models.repository_connection import RepositoryConnection
from models.user import User

_IDS_AT_ONCE: Final = 10_000


async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone
    from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


async def keep_an_admin(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Make the longest-standing member admin where the last admin goes; where no member is left,
    nobody is.

    The users who go are gone already when their memberships are taken, so what is missing says who
    they are. Members are in the order in which they came. The version moves on with the membership,
    in the same transaction, so that whoever changes members meanwhile has to try again.
    """
    there = await _living(
        (member["userId"] for row in rows for member in _members(row, "admin")), session
    )
    orphans = [
        row
        for row in rows
        if not any(member["userId"] in there for member in _members(row, "admin"))
    ]
    there |= await _living(
        (member["userId"] for row in orphans for member in _members(row)), session
    )
    writes = []
    for row in orphans:
        heir = next(
            (member["userId"] for member in _members(row) if member["userId"] in there), None
        )
        if heir is not None:
            where = {"_id": row["_id"], "version": row["version"], "members.userId": heir}
            writes.append(UpdateOne(where, {"$set": {"members.$.role": "admin"}}))
    if writes:
        await Project.raw().bulk_write(writes, ordered=False, session=session)


def _members(row: Raw, role: str | None = None) -> list[Raw]:
    return [member for member in row["members"] if role in (None, member["role"])]


async def _living(users: Iterable[ObjectId], session: AsyncClientSession) -> set[ObjectId]:
    """Those of these users who live."""
    ids = list(set(users))
    found: set[ObjectId] = set()
    for start in range(0, len(ids), _IDS_AT_ONCE):
        found |= await living(User, ids[start : start + _IDS_AT_ONCE], session=session)
    return found


async def move_places(rows: Sequence[Raw], merge: Merge, session: AsyncClientSession) -> Carried:
    """The source's place in each project becomes the target's, who has one at most.

    Where both have one and nothing was chosen it is the admin's; a project that would be left
    without an admin has one in them.
    """
    where = {"_id": {"$in": [row["_id"] for row in rows]}, "members.userId": merge.source}
    found = await Project.raw().find(where, session=session).to_list()
    for row in found:
        fields = {"members": _with_one_place(row["members"], merge), "updatedAt": now()}
        update = {"$set": fields, "$inc": {"version": 1}}
        await Project.raw().update_one({"_id": row["_id"]}, update, session=session)
    return Carried(moved=len(found))


def _with_one_place(members: list[Raw], merge: Merge) -> list[Raw]:
    roles = {each["userId"]: each["role"] for each in members}
    mine, theirs = roles[merge.source], roles.get(merge.target)
    kept = {"target": theirs, "source": mine, None: "admin"}[merge.keep.get("projects")]
    role = mine if theirs in (None, mine) else kept
    if not any(each["role"] == "admin" for each in _others(members, merge)):
        role = "admin" if "admin" in (mine, theirs) else role
    at = next(number for number, each in enumerate(members) if each["userId"] in _both(merge))
    before, after = _others(members[:at], merge), _others(members[at:], merge)
    return [*before, {**members[at], "userId": merge.target, "role": role}, *after]


def _both(merge: Merge) -> tuple[ObjectId, ObjectId]:
    return (merge.source, merge.target)


def _others(members: list[Raw], merge: Merge) -> list[Raw]:
    return [each for each in members if each["userId"] not in _both(merge)]


HOOKS: Final = Hooks(
    going={RepositoryConnection: keep_links},
    released={Project: keep_an_admin},
    moving={Project: move_places},
)
