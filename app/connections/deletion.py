"""Deleting bank connections: the token goes first, and the provider's access to the bank is given up by a job."""

from collections.abc import Sequence

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.changes import links_of
from app.connections.syncs import disconnected
from app.connections.views import ConnectionView
from app.database import transaction
from app.errors import NotFound, VersionMismatch
from app.http import holds, wants_absence
from app.relations.delete import delete_root
from app.relations.witness import witness
from app.settings import Settings
from app.users.views import current
from models.base import Raw
from models.connection import Connection
from models.deletion import Deletion
from models.outside_link import OutsideLink
from models.precondition import Expected


@witness(Connection)
async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


async def delete_connection(
    connection_id: ObjectId, expected: Expected | None, by: str, settings: Settings
) -> Deletion:
    """Erase a connection's token, its link outside left to a job, then delete it and all that hangs off it.

    Witnesses are not called for the root of a deletion, so its token goes in a transaction before. Where the process
    ends in between, the connection is disconnected, and a repeat deletes it.

    Raises:
        NotFound: it is not there (any more).
        VersionMismatch: the precondition does not hold; nothing was deleted.
    """

    async def erase(session: AsyncClientSession) -> None:
        row = await Connection.raw().find_one({"_id": connection_id}, session=session)
        if row is None:
            raise NotFound("there is no such connection")
        if not holds(expected, row["version"]):
            shown = current(ConnectionView.model_validate(Connection.from_stored(row)))
            raise VersionMismatch(shown, absent=wants_absence(expected))
        if "accessToken" in row:
            await OutsideLink.add_all(links_of([row]), session)
            await Connection.change({"_id": connection_id}, disconnected("by_user"), session=session)

    await transaction(erase)
    return await delete_root(Connection, connection_id, by, settings)
