"""Deletions around repositories: webhooks of connections are removed by a job; projects keep an
admin."""

from collections.abc import Iterable, Sequence
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.relations.hooks import Hooks
from app.repositories.links import links_of
from models.base import Raw
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


HOOKS: Final = Hooks(going={RepositoryConnection: keep_links}, released={Project: keep_an_admin})
