"""Deleting repository connections: their webhooks are removed by a job."""

from collections.abc import Sequence

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import NotFound, VersionMismatch
from app.http import wants_absence
from app.relations.delete import delete_root
from app.relations.witness import witness
from app.repositories.connect import links_of
from app.repositories.views import current_info
from app.settings import Settings
from models.base import Raw
from models.deletion import Deletion
from models.outside_link import OutsideLink
from models.precondition import Expected
from models.repository_connection import RepositoryConnection


@witness(RepositoryConnection)
async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


async def delete_repository(
    connection: RepositoryConnection, expected: Expected | None, by: str, settings: Settings
) -> Deletion:
    """Delete a connection and its events, if the precondition holds at the commit; its webhook is left to a job.

    Raises:
        NotFound: it is not there (any more).
        VersionMismatch: the precondition does not hold; nothing was deleted.
    """
    try:
        return await delete_root(RepositoryConnection, ObjectId(connection.id), by, settings, expected=expected)
    except NotFound:
        stored = await RepositoryConnection.find_by_id(ObjectId(connection.id))
        if stored is None:
            raise
        raise VersionMismatch(current_info(stored), absent=wants_absence(expected)) from None
