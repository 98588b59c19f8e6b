"""Deleting bank connections: the token goes first, and the provider's access to the bank is given up by a job."""

from collections.abc import Sequence

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.changes import links_of
from app.connections.views import ConnectionView
from app.errors import NotFound, VersionMismatch
from app.http import wants_absence
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
    """Delete a connection and all that hangs off it, if the precondition holds at the commit.

    Raises:
        NotFound: it is not there (any more).
        VersionMismatch: the precondition does not hold; nothing was deleted.
    """
    try:
        return await delete_root(Connection, connection_id, by, settings, expected=expected)
    except NotFound:
        stored = await Connection.find_by_id(connection_id)
        if stored is None:
            raise
        raise VersionMismatch(current(ConnectionView.model_validate(stored)), absent=wants_absence(expected)) from None
