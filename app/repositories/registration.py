"""Telling the host of a connection's webhook: once what is stored is stored, and again until the
host knows.

While it is told, the connection says so (`registering_until`): what is removed meanwhile is removed
at the host after that, since a webhook may come to be there until then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from app.outside.client import TryLater
from app.outside.keyring import KeyRing, SealedError
from app.repositories.hosts.at_host import git_host, locate
from app.repositories.hosts.host import GitHost, Refused
from app.repositories.hosts.urls import host_id, stored_repository
from app.repositories.hosts.webhooks import ensure_webhook
from app.repositories.links import opened, webhook_url
from app.repositories.moves import Changed, follow, is_as_read
from app.settings import Settings
from models.base import Raw, now
from models.repository_connection import RepositoryConnection

_TIMEOUTS: Final = 4
"""How many times the longest that one request may take all of them may take."""


@asynccontextmanager
async def at_host(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing
) -> AsyncIterator[tuple[RepositoryConnection, GitHost]]:
    """A connection, by the name that its repository has now, and the repository at its host, while
    the block lasts.

    Raises:
        Changed: it changed meanwhile.
        Refused, TryLater: by the host, or another connection has the repository or its name.
        SealedError: the token does not open.
    """
    repository = stored_repository(connection.repository_url, connection.service_type, settings)
    if repository is None:
        raise Refused("host_unknown")
    token = opened(connection, "access_token", keyring)
    async with git_host(settings, repository, token.get_secret_value()) as host:
        found = await locate(host, host_id(connection.remote_id))
        yield await follow(connection, repository, found, settings), host


async def register(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing
) -> RepositoryConnection:
    """Tell the host of the webhook and its secret; where it cannot be told now, the health check
    goes on.

    Returns:
        The connection as it is then.
    """
    try:
        return await tell_host(connection, settings, keyring)
    except Changed:
        reason, health = None, None
    except Refused as error:
        reason, health = error.reason, "failed"
    except (TryLater, SealedError) as error:
        reason, health = getattr(error, "reason", "secret_unreadable"), "degraded"
    if reason is not None:
        fields: Raw = {
            "healthStatus": health,
            "healthReasons": [reason],
            "lastHealthCheckAt": now(),
        }
        changed = await RepositoryConnection.change(is_as_read(connection), fields)
    else:
        changed = None
    return changed or await RepositoryConnection.find_by_id(connection.id) or connection


async def tell_host(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing, held: Raw | None = None
) -> RepositoryConnection:
    """Have the webhook at the host, with the secret that is stored, and note that it is there.

    Args:
        connection: as it was read.
        settings: when to look again.
        keyring: opens token and secret.
        held: the filter of the claim by which a check tells the host.

    Returns:
        The connection as it is then.

    Raises:
        Changed: it changed meanwhile, or the claim was lost; another registration follows, or the
            webhook is removed.
        Refused, TryLater: by the host.
        SealedError: token or secret do not open.
    """
    secret = opened(connection, "webhook_secret", keyring)
    async with at_host(connection, settings, keyring) as (here, host):
        seconds = _TIMEOUTS * settings.outgoing_timeout_seconds
        await _begin(here, seconds)
        try:
            async with asyncio.timeout(seconds):
                webhook_id = await ensure_webhook(
                    host, webhook_url(settings, here), secret.get_secret_value()
                )
        except TimeoutError:
            raise TryLater("timeout") from None
    return await _note_registered(here, webhook_id, settings, held or {})


async def _begin(connection: RepositoryConnection, seconds: float) -> None:
    """Say that a webhook is being registered; the host may take as long again for what we gave
    up."""
    until = {"$set": {"registeringUntil": now() + timedelta(seconds=2 * seconds)}}
    done = await RepositoryConnection.raw().update_one(is_as_read(connection), until)
    if not done.matched_count:
        raise Changed


def _registered(webhook_id: str, moment: datetime, settings: Settings) -> Raw:
    return {
        "webhookId": webhook_id,
        "webhookStale": False,
        "registeringUntil": None,
        "healthStatus": "healthy",
        "healthReasons": [],
        "lastHealthCheckAt": moment,
        "failures": 0,
        "nextHealthCheckAt": moment + timedelta(seconds=settings.repository_check_seconds),
    }


async def _note_registered(
    connection: RepositoryConnection, webhook_id: str, settings: Settings, held: Raw
) -> RepositoryConnection:
    """Note that the host knows the secret, unless another one was stored meanwhile. The old one's
    time begins."""
    moment = now()
    fields = _registered(webhook_id, moment, settings)
    if connection.previous_secret is not None and connection.webhook_stale:
        fields["previousSecretUntil"] = moment + timedelta(seconds=settings.webhook_overlap_seconds)
    changed = await RepositoryConnection.change(is_as_read(connection) | held, fields)
    if changed is None:
        raise Changed
    return changed
