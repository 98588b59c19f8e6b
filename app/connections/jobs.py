"""What the worker does for bank connections: syncs those that are due, gives up access to those
that went."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

from bson import ObjectId

from app.connections.access import provider_of
from app.connections.providers.api import LoginNeeded, Revoked
from app.connections.syncs import JOB_SECONDS, begin_due, sync
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.outside.client import TryLater
from app.outside.keyring import KeyRing, load_keyring
from app.outside.links import remove_due
from app.outside.places import LeftOut, Taken, work_off
from app.settings import Settings
from app.web.observability import log
from models.aside import ROW_FAULTS, later, tell
from models.base import now
from models.connection import Connection
from models.outside_link import OutsideLink

_SYNC: Final = "sync-connections"
_UNLINK: Final = "remove-bank-links"
_AT_ONCE: Final = 4
PERIODIC: Final = {_SYNC: 300.0, _UNLINK: 300.0}
WOKEN: Final = {
    _SYNC: (Watched(Connection, "nextAttemptAt"),),
    _UNLINK: (Watched(OutsideLink, "nextAttemptAt"),),
}
PLACES: Final[Mapping[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    keyring = load_keyring(settings)
    return {
        _SYNC: partial(_sync_connections, settings, keyring),
        _UNLINK: partial(_remove_links, settings, keyring),
    }


async def _sync_connections(settings: Settings, keyring: KeyRing, claim: Claim) -> datetime | None:
    """Sync the connections that are due, a few at a time."""

    async def take(left_out: LeftOut) -> Taken | None:
        while due := await Connection.find_due(now(), 1, left_out.tenants, healthy=left_out.failed):
            if (begun := await _begin(due[0])) is not None:
                work = _sync(begun, settings, keyring)
                return Taken(work, begun.user_id, begun.failures > 0)
        return None

    await work_off(_AT_ONCE, take, lambda done: claim.renew(synced=done))
    return await Connection.earliest("nextAttemptAt")


async def _sync(connection: Connection, settings: Settings, keyring: KeyRing) -> None:
    try:
        await sync(connection, settings, keyring, JOB_SECONDS)
    except Exception as error:
        log.error("sync failed", connection=str(connection.id), exc_info=error)
        if isinstance(error, ROW_FAULTS):
            await _put_off(ObjectId(connection.id), error)


async def _remove_links(settings: Settings, keyring: KeyRing, claim: Claim) -> datetime | None:
    """Give up the access to banks whose connections went or were disconnected."""
    await remove_due("bank", partial(_remove, settings), keyring, claim)
    return await OutsideLink.earliest("nextAttemptAt", {"kind": "bank"})


async def _remove(settings: Settings, link: OutsideLink, token: str) -> None:
    if await _is_shared(link):
        return
    async with provider_of(settings, link.details["provider"], token) as provider:
        try:
            await provider.disconnect()
        except (LoginNeeded, Revoked) as error:
            raise TryLater(error.reason) from None


async def _begin(connection_id: ObjectId) -> Connection | None:
    """Begin a sync; one that cannot be read is put off."""
    try:
        return await begin_due(connection_id)
    except ROW_FAULTS as error:
        await _put_off(connection_id, error)
        return None


async def _put_off(connection_id: ObjectId, error: Exception) -> None:
    tell(Connection, connection_id, error)
    where = {"_id": connection_id, "nextAttemptAt": {"$lte": now()}}
    await Connection.raw().update_one(where, {"$set": later("nextAttemptAt")})


async def _is_shared(link: OutsideLink) -> bool:
    """Whether another connection lives by the same login: giving up one would end the other."""
    enrollment = link.details.get("enrollmentId")
    if enrollment is None:
        return False
    where = {"enrollmentId": enrollment, "accessToken": {"$exists": True}}
    return await Connection.raw().find_one(where, {"_id": 1}) is not None
