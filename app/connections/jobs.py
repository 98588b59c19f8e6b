"""What the worker does for bank connections: syncs those that are due, gives up access to those that went."""

import asyncio
from typing import Final

from bson import ObjectId

from app.connections.access import provider_of
from app.connections.provider import LoginNeeded, Revoked
from app.connections.syncs import sync_due
from app.jobs import Claim, Handler
from app.keyring import load_keyring
from app.observability import log
from app.outgoing import TryLater
from app.outside_links import remove_due
from app.settings import Settings
from models.aside import ROW_FAULTS, later, tell
from models.base import now
from models.connection import Connection
from models.outside_link import OutsideLink

_SYNC: Final = "sync-connections"
_UNLINK: Final = "remove-bank-links"
_AT_ONCE: Final = 4
PERIODIC: Final = {_SYNC: 5.0, _UNLINK: 5.0}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    keyring = load_keyring(settings)

    async def sync_connections(claim: Claim) -> None:
        """Sync the connections that are due, a few at a time."""
        total = 0
        while due := await Connection.find_due(now(), _AT_ONCE):
            running = {asyncio.ensure_future(_sync(connection_id)) for connection_id in due}
            while running:
                _, running = await asyncio.wait(running, timeout=10)
                await claim.renew(synced=total + len(due) - len(running))
            total += len(due)

    async def _sync(connection_id: ObjectId) -> None:
        try:
            await sync_due(connection_id, settings, keyring)
        except Exception as error:
            log.error("sync failed", connection=str(connection_id), exc_info=error)
            if isinstance(error, ROW_FAULTS):
                tell(Connection, connection_id, error)
                where = {"_id": connection_id, "nextAttemptAt": {"$lte": now()}}
                await Connection.raw().update_one(where, {"$set": later("nextAttemptAt")})

    async def remove_links(claim: Claim) -> None:
        """Give up the access to banks whose connections went or were disconnected."""
        await remove_due("bank", remove, keyring, claim)

    async def remove(link: OutsideLink, token: str) -> None:
        if await _is_shared(link):
            return
        async with provider_of(settings, link.details["provider"], token) as provider:
            try:
                await provider.disconnect()
            except (LoginNeeded, Revoked) as error:
                raise TryLater(error.reason) from None

    return {_SYNC: sync_connections, _UNLINK: remove_links}


async def _is_shared(link: OutsideLink) -> bool:
    """Whether another connection lives by the same login: giving up one would end the other."""
    enrollment = link.details.get("enrollmentId")
    if enrollment is None:
        return False
    where = {"enrollmentId": enrollment, "accessToken": {"$exists": True}}
    return await Connection.raw().find_one(where, {"_id": 1}) is not None
