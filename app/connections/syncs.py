"""Who syncs when: one sync of a connection at a time, and what a connection is after one (its state
machine).

connected -> needs_reauth: the person has to sign in at the bank again. connected, needs_reauth ->
disconnected: the token was revoked; it is erased. What is over by itself (429, 5xx, timeouts) moves
    `nextAttemptAt` alone. Back to
connected leads only an answer of the provider that needed a working token.
"""

from typing import Any, Final

from bson import ObjectId

from app.connections.access import provider_of, token_of
from app.connections.cursor import PagingFailed
from app.connections.providers.api import LoginNeeded, Revoked
from app.connections.sync import LEASE, LostSync, Pass
from app.database import joined
from app.errors import NotFound, Problem, ProviderUnavailable
from app.errors.codes import Code
from app.jobs.backoff import OUTSIDE
from app.outside.client import TryLater
from app.outside.keyring import KeyRing, SealedError
from app.settings import Settings
from app.web.idempotency import claiming
from app.web.observability import log
from models.base import now
from models.connection import Connection

JOB_SECONDS: Final = 120.0


class SyncRunning(Problem):
    """A sync of this connection is running; the body carries its state as `running`."""

    status, code = 409, Code.SYNC_RUNNING


class NeedsReauth(Problem):
    """The person has to sign in at the bank again; `statusReason` says why."""

    status, code = 409, Code.NEEDS_REAUTH


class Disconnected(Problem):
    """The connection has no token any more: give it a new one."""

    status, code = 409, Code.DISCONNECTED


async def sync_now(
    connection: Connection, settings: Settings, keyring: KeyRing
) -> tuple[Connection, bool]:
    """Sync by hand: for some seconds, then the worker goes on.

    Returns:
        The connection as it is then, and whether the pass is done.

    Raises:
        SyncRunning: another sync is running.
        NeedsReauth, Disconnected: the provider wants another token.
        ProviderUnavailable: the provider cannot answer now.
        NotFound: the connection went meanwhile.
    """
    connection_id = ObjectId(connection.id)
    begun = await claiming(
        None, lambda: Connection.begin_sync(connection_id, now() + LEASE, session=joined())
    )
    if begun is None:
        raise await _not_begun(connection_id)
    failure = await sync(begun, settings, keyring, settings.sync_inline_seconds)
    after = await Connection.find_by_id(connection_id)
    if after is None:
        raise NotFound("there is no such connection")
    if isinstance(failure, TryLater):
        wait = int(failure.retry_after or 0) or 30
        raise ProviderUnavailable(
            f"the provider does not answer: {failure.reason}", retry_after=wait
        )
    if after.status == "needs_reauth":
        raise NeedsReauth(
            f"Your connection to {after.institution} ({after.label}) needs to be signed in again",
            extra={"statusReason": after.status_reason},
        )
    if after.status == "disconnected":
        raise _disconnected(after)
    return after, after.cursor is None and after.last_sync_at is not None


async def _not_begun(connection_id: ObjectId) -> Problem:
    found = await Connection.find_by_id(connection_id)
    if found is None:
        return NotFound("there is no such connection")
    if found.access_token is None:
        return _disconnected(found)
    running = found.running.model_dump(mode="json", by_alias=True) if found.running else None
    return SyncRunning(
        "a sync of this connection is running",
        headers={"Retry-After": "5"},
        extra={"running": running},
    )


def _disconnected(connection: Connection) -> Disconnected:
    return Disconnected(
        "the connection has no token", extra={"statusReason": connection.status_reason}
    )


async def begin_due(connection_id: ObjectId) -> Connection | None:
    """Begin the sync of a connection whose time has come; None where somebody else has, or there is
    no token."""
    begun = await Connection.begin_sync(connection_id, now() + LEASE)
    if begun is None:
        await Connection.raw().update_one(
            {"_id": connection_id, "accessToken": {"$exists": False}},
            {"$unset": {"nextAttemptAt": ""}},
        )
    return begun


async def sync_due(connection_id: ObjectId, settings: Settings, keyring: KeyRing) -> None:
    """Sync a connection whose time has come, if nobody else does."""
    if (begun := await begin_due(connection_id)) is not None:
        await sync(begun, settings, keyring, JOB_SECONDS)


async def sync(
    connection: Connection, settings: Settings, keyring: KeyRing, seconds: float
) -> LoginNeeded | Revoked | TryLater | SealedError | None:
    """Run a sync that has begun, give its lease back, and note what became of the connection.

    Returns:
        What went wrong, if anything.
    """
    try:
        async with provider_of(
            settings, connection.provider, token_of(connection, keyring)
        ) as provider:
            done = await Pass(connection, provider, settings).run(seconds)
        if not done:
            await connection.end_sync({"nextAttemptAt": now()})
    except LostSync:
        log.info("sync given up", connection=str(connection.id))
    except (LoginNeeded, Revoked, TryLater, SealedError) as error:
        await connection.end_sync(_after(connection, error))
        return error
    except Exception:
        await connection.end_sync(
            {"failures": connection.failures + 1, "nextAttemptAt": now() + OUTSIDE.after(1)}
        )
        raise
    return None


def _after(
    connection: Connection, error: LoginNeeded | Revoked | TryLater | SealedError
) -> dict[str, Any]:
    """The fields that a failure changes."""
    if isinstance(error, TryLater):
        failures = connection.failures + 1
        fields: dict[str, Any] = {
            "failures": failures,
            "nextAttemptAt": now() + OUTSIDE.after(failures, error.retry_after),
        }
        return fields | ({"cursor": None} if isinstance(error, PagingFailed) else {})
    if isinstance(error, Revoked):
        return disconnected(error.reason)
    if isinstance(error, SealedError):
        log.error("a token does not open", connection=str(connection.id), reason=str(error))
        return {"status": "needs_reauth", "statusReason": "token_unreadable", "nextAttemptAt": None}
    return {"status": "needs_reauth", "statusReason": error.reason, "nextAttemptAt": None}


def disconnected(reason: str) -> dict[str, Any]:
    """The fields of a connection whose token is erased."""
    return {
        "status": "disconnected",
        "statusReason": reason,
        "accessToken": None,
        "cursor": None,
        "nextAttemptAt": None,
        "running": None,
    }
