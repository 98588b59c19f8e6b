"""What is noted of repository connections that are deleted: their webhooks are removed by a job."""

from collections.abc import Sequence

from pymongo.asynchronous.client_session import AsyncClientSession

from app.relations.witness import witness
from app.repositories.connect import links_of
from models.base import Raw
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection


@witness(RepositoryConnection)
async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)
