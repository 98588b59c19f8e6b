"""The health of repository connections: from a probe of token and webhook, and from the latest deliveries."""

from datetime import timedelta
from typing import Final

from bson import ObjectId

from app.keyring import KeyRing, SealedError
from app.outgoing import TryLater, backoff
from app.repositories.connect import note_registered, opened, tell_host, webhook_url
from app.repositories.hosts import Refused, git_host
from app.repositories.urls import stored_repository
from app.settings import Settings
from models.base import Raw, now
from models.repository_connection import Health, RepositoryConnection
from models.webhook_event import WebhookEvent

_RECENT: Final = 20
_FAILED_FROM: Final = 3


async def check(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> None:
    """Look at a claimed connection, mend its webhook where that is amiss, and note how it is.

    healthy: token and webhook work and no recent delivery failed. degraded: the host cannot be reached, or some failed.
    failed: the host refuses us, or all of at least three failed.
    """
    if not connection.is_active:
        where = connection.held | {"isActive": False}
        await RepositoryConnection.raw().update_one(where, {"$unset": {"nextHealthCheckAt": ""}})
        return
    wait = timedelta(seconds=settings.repository_check_seconds)
    failures, status, reasons = 0, await _recent(connection), list[str]()
    if status != "healthy":
        reasons.append("deliveries_failed")
    try:
        if not await _is_registered(connection, settings, keyring):
            webhook_id = await tell_host(connection, settings, keyring)
            noted = await note_registered(connection, webhook_id, settings, connection.held)
            if noted is None:
                return
            connection = noted
    except Refused as error:
        status, reasons = "failed", [error.reason, *reasons]
    except SealedError:
        status, reasons = "failed", ["token_unreadable", *reasons]
    except TryLater as error:
        failures = connection.failures + 1
        status = "failed" if status == "failed" else "degraded"
        reasons, wait = [error.reason, *reasons], min(wait, backoff(failures, error.retry_after))
    await _note(connection, status, reasons, failures, wait)


async def _note(
    connection: RepositoryConnection, status: Health, reasons: list[str], failures: int, wait: timedelta
) -> None:
    moment = now()
    fields: Raw = {
        "healthStatus": status,
        "healthReasons": reasons,
        "lastHealthCheckAt": moment,
        "nextHealthCheckAt": moment + wait,
        "failures": failures,
    }
    where = connection.held | {"isActive": True, "repositoryUrl": connection.repository_url}
    await RepositoryConnection.raw().update_one(where, {"$set": fields})


async def _is_registered(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> bool:
    """Whether the token works and the host has our webhook, with the secret that is stored."""
    repository = stored_repository(connection.repository_url, connection.service_type, settings)
    if repository is None:
        raise Refused("host_unknown")
    token = opened(connection, "access_token", keyring)
    async with git_host(settings, repository, token.get_secret_value()) as host:
        await host.probe()
        found = await host.webhooks()
    url = webhook_url(settings, connection)
    return not connection.webhook_stale and found.get(connection.webhook_id or "") == url


async def _recent(connection: RepositoryConnection) -> Health:
    """What the latest deliveries say."""
    events = await WebhookEvent.list_of(ObjectId(connection.id), connection.connected_at, _RECENT)
    settled = [event for event in events if event.status != "received"]
    failed = [event for event in settled if event.status == "failed"]
    if not failed:
        return "healthy"
    return "failed" if len(failed) == len(settled) >= _FAILED_FROM else "degraded"
