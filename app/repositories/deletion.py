"""Deleting repository connections: their webhooks are removed by a job."""

from collections.abc import Sequence
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import VersionMismatch
from app.http import holds, wants_absence
from app.relations.delete import delete_root
from app.relations.witness import witness
from app.repositories.connect import deactivate, links_of
from app.repositories.views import current_info
from app.settings import Settings
from models.base import Raw
from models.deletion import Deletion
from models.outside_link import OutsideLink
from models.precondition import Expected
from models.repository_connection import RepositoryConnection

_RACES: Final = 20


@witness(RepositoryConnection)
async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


async def delete_repository(
    connection: RepositoryConnection, expected: Expected | None, by: str, settings: Settings
) -> Deletion:
    """Deactivate a connection, its webhook left to a job, then delete it and its events.

    Witnesses are not called for the root of a deletion, so its webhook is noted in a transaction before. Where the
    process ends in between, the connection is deactivated, and a repeat deletes it.

    Raises:
        NotFound: it is not there (any more).
        VersionMismatch: the precondition does not hold; nothing was deleted.
    """
    current: RepositoryConnection | None = connection
    for _ in range(_RACES):
        if current is not None and not holds(expected, current.version):
            raise VersionMismatch(current_info(current), absent=wants_absence(expected))
        if current is None or not current.is_active or await deactivate(current) is not None:
            break
        current = await RepositoryConnection.find_by_id(ObjectId(connection.id))
    return await delete_root(RepositoryConnection, ObjectId(connection.id), by, settings)
