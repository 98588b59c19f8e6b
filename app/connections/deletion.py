"""Deleting bank connections: the token goes first, and the provider's access to the bank is given
up by a job."""

from collections.abc import Sequence
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.service import links_of
from app.relations.hooks import Hooks
from models.base import Raw
from models.connection import Connection
from models.outside_link import OutsideLink


async def keep_links(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take the tokens over into what is left to be done outside; with the documents they are gone
    from here."""
    await OutsideLink.add_all(links_of(list(rows)), session)


HOOKS: Final = Hooks(going={Connection: keep_links})
