"""Deleting bank connections: the token goes first, and the provider's access to the bank is given
up by a job."""

from collections.abc import Sequence
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.service import links_of
from app.relations.hooks import Carried, Hooks, Merge
from models.base import Raw, now
from models.connection import Connection
from models.outside_link import OutsideLink


async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone
    from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


async def move_connections(
    rows: Sequence[Raw], merge: Merge, session: AsyncClientSession
) -> Carried:
    """Connections become the target's. Of one login at a bank that both have connected, the moved
    connection goes by itself from now on, without the bank's id of it."""
    where = {"_id": {"$in": [row["_id"] for row in rows]}, "userId": merge.source}
    theirs = Connection.raw().find(
        {"userId": merge.target, "enrollmentId": {"$gt": ""}}, {"enrollmentId": 1}, session=session
    )
    known = [row["enrollmentId"] async for row in theirs]
    await Connection.raw().update_many(
        {**where, "enrollmentId": {"$in": known}}, {"$unset": {"enrollmentId": ""}}, session=session
    )
    update = {"$set": {"userId": merge.target, "updatedAt": now()}, "$inc": {"version": 1}}
    done = await Connection.raw().update_many(where, update, session=session)
    return Carried(moved=done.modified_count)


HOOKS: Final = Hooks(going={Connection: keep_links}, moving={Connection: move_connections})
