"""The health of repository connections: from a probe of token and webhook, and from the latest
deliveries."""

from datetime import timedelta
from typing import Final

from bson import ObjectId

from app.jobs.backoff import OUTSIDE
from app.outside.client import TryLater
from app.outside.keyring import KeyRing, SealedError
from app.repositories.hosts.host import Refused
from app.repositories.hosts.webhooks import is_alone
from app.repositories.links import webhook_url
from app.repositories.moves import Changed, is_as_read
from app.repositories.registration import at_host, tell_host
from app.settings import Settings
from models.base import Raw, now
from models.repository_connection import Health, RepositoryConnection
from models.webhook_event import LOST, WebhookEvent

_RECENT: Final = 20
_FAILED_FROM: Final = 3


async def check(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> None:
    """Look at a claimed connection, mend its webhook where that is amiss, and note how it is.

    healthy: token and webhook work and no recent delivery failed. degraded: the host cannot be
        reached, or some failed.
    failed: the host refuses us, or all of at least three failed.
    """
    if not connection.is_active:
        where = connection.held | {"isActive": False}
        await RepositoryConnection.raw().update_one(where, {"$unset": {"nextHealthCheckAt": ""}})
        return
    held, wait = connection.held, timedelta(seconds=settings.repository_check_seconds)
    failures, (status, reasons) = 0, await _recent(connection)
    try:
        connection, is_registered = await _look(connection, settings, keyring)
        if not is_registered:
            connection = await tell_host(connection, settings, keyring, held)
            held = connection.held
    except Changed:
        return
    except Refused as error:
        status, reasons = "failed", [error.reason, *reasons]
    except SealedError:
        status, reasons = "failed", ["token_unreadable", *reasons]
    except TryLater as error:
        failures = connection.failures + 1
        status = "failed" if status == "failed" else "degraded"
        reasons = [error.reason, *reasons]
        wait = min(wait, OUTSIDE.after(failures, error.retry_after))
    fields = _noted(status, reasons, wait, failures)
    await RepositoryConnection.raw().update_one(is_as_read(connection) | held, {"$set": fields})


async def _look(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing
) -> tuple[RepositoryConnection, bool]:
    """A connection by its name of now, and whether the host has its webhook and no other one of
    ours."""
    async with at_host(connection, settings, keyring) as (here, host):
        found = await host.webhooks()
    is_ours = is_alone(found, here.webhook_id, webhook_url(settings, here))
    return here, is_ours and not here.webhook_stale


async def _recent(connection: RepositoryConnection) -> tuple[Health, list[str]]:
    """What the latest deliveries say, and why."""
    events = await WebhookEvent.list_of(ObjectId(connection.id), connection.connected_at, _RECENT)
    settled = [event for event in events if event.status != "received"]
    failed = [event for event in settled if event.status == "failed"]
    if not failed:
        return "healthy", []
    is_lost = any(event.error == LOST for event in failed)
    reasons = ["deliveries_failed", *(["deliveries_lost"] if is_lost else [])]
    return "failed" if len(failed) == len(settled) >= _FAILED_FROM else "degraded", reasons


def _noted(status: str, reasons: list[str], wait: timedelta, failures: int) -> Raw:
    moment = now()
    return {
        "healthStatus": status,
        "healthReasons": reasons,
        "lastHealthCheckAt": moment,
        "nextHealthCheckAt": moment + wait,
        "failures": failures,
    }
