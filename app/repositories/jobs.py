"""What the worker does for repositories: processes webhook events, looks at health, removes
webhooks."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.outside.keyring import KeyRing, load_keyring
from app.outside.links import remove_due
from app.outside.places import LeftOut, Taken, work_off
from app.repositories.deliveries.inbox import process
from app.repositories.health import check
from app.repositories.hosts.at_host import git_host
from app.repositories.hosts.urls import host_id, stored_repository
from app.repositories.hosts.webhooks import delivery_url, remove_webhook
from app.settings import Settings
from models import aside
from models.aside import ROW_FAULTS
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import UNREADABLE, WebhookEvent

_EVENTS: Final = "process-webhook-events"
_HEALTH: Final = "check-repositories"
_UNLINK: Final = "remove-webhooks"
_BATCH: Final = 50
_AT_ONCE: Final = 8
PERIODIC: Final = {_EVENTS: 300.0, _HEALTH: 300.0, _UNLINK: 300.0}
WOKEN: Final = {
    _EVENTS: (Watched(WebhookEvent, "receivedAt"),),
    _HEALTH: (Watched(RepositoryConnection, "nextHealthCheckAt"),),
    _UNLINK: (Watched(OutsideLink, "nextAttemptAt"),),
}
PLACES: Final[Mapping[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    keyring = load_keyring(settings)
    return {
        _EVENTS: partial(_process_events, settings),
        _HEALTH: partial(_check_repositories, settings, keyring),
        _UNLINK: partial(_remove_webhooks, settings, keyring),
    }


async def _process_events(settings: Settings, claim: Claim) -> None:
    """Process what was delivered."""
    total = 0
    while waiting := await WebhookEvent.find_waiting(_BATCH):
        done = [await _process(event, settings) for event in waiting]
        total += len(waiting)
        await claim.renew(processed=total)
        if not any(done):
            return  # of connections that are gone; the sweep removes them


async def _check_repositories(
    settings: Settings, keyring: KeyRing, claim: Claim
) -> datetime | None:
    """Look at the health of the connections that are due, several at a time: a host may hang."""

    async def take(left_out: LeftOut) -> Taken | None:
        connection = await RepositoryConnection.claim_due(healthy=left_out.failed)
        if connection is None:
            return None
        return Taken(_look_at(connection, settings, keyring), None, connection.failures > 0)

    await work_off(_AT_ONCE, take, lambda done: claim.renew(checked=done))
    return await RepositoryConnection.earliest("nextHealthCheckAt")


async def _look_at(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> None:
    try:
        await check(connection, settings, keyring)
    except ROW_FAULTS as error:
        await aside.put_off(connection, "nextHealthCheckAt", error)


async def _remove_webhooks(settings: Settings, keyring: KeyRing, claim: Claim) -> datetime | None:
    """Remove the webhooks of connections that went, were deactivated, or have another repository
    now."""
    await remove_due("repository", partial(_remove, settings), keyring, claim)
    return await OutsideLink.earliest("nextAttemptAt", {"kind": "repository"})


async def _remove(settings: Settings, link: OutsideLink, token: str) -> None:
    details = link.details
    repository = stored_repository(details["repositoryUrl"], details["serviceType"], settings)
    if repository is None or await _is_active_again(link):
        return
    url = delivery_url(settings, details["serviceType"], link.origin_id)
    async with git_host(settings, repository, token) as host:
        await remove_webhook(host, host_id(details.get("remoteId")), url, details.get("webhookId"))


async def _process(event: WebhookEvent, settings: Settings) -> bool:
    """Process an event, whatever is amiss with it or its connection. Whether it waits no more."""
    try:
        return await process(event, settings) is not None
    except ROW_FAULTS as error:
        aside.tell(WebhookEvent, event.id, error)
        return await event.settle("failed", UNREADABLE) is not None


async def _is_active_again(link: OutsideLink) -> bool:
    """Whether the webhook belongs to a connection that has its repository again, under whatever
    name."""
    row = await RepositoryConnection.raw().find_one({"_id": link.origin_id, "isActive": True})
    if row is None:
        return False
    ids = {link.details.get("remoteId"), row.get("remoteId")}
    return (
        len(ids) == 1
        if None not in ids
        else bool(row["repositoryUrl"] == link.details["repositoryUrl"])
    )
