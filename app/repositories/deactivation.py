"""A repository connection that takes no deliveries."""

from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.repositories.links import links_of
from app.web.idempotency import Claim, claiming
from models.base import Raw
from models.ledger_note import LedgerNote
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection

DEACTIVATED: Raw = {
    "isActive": False,
    "webhookId": None,
    "webhookStale": True,
    "nextHealthCheckAt": None,
    "previousSecret": None,
    "previousSecretUntil": None,
}
"""The fields of a connection that takes no deliveries."""


async def deactivate(
    connection: RepositoryConnection, claim: Claim | None = None
) -> RepositoryConnection | None:
    """Take no more deliveries; a job removes the webhook, the token stays. None where it was
    changed meanwhile."""

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        row = await RepositoryConnection.raw().find_one({"_id": connection.id}, session=session)
        if row is None:
            return None
        await OutsideLink.add_all(links_of([row]), session)
        changed = await RepositoryConnection.change(
            {"_id": connection.id}, DEACTIVATED, expected=connection.version, session=session
        )
        if changed is not None:
            await LedgerNote.take("repository", changed, session)
        return changed

    return await claiming(claim, lambda: transaction(work))
