"""The rules of a project's repository connection: connect, replace, rotate the secret, deactivate, activate again.

What is stored comes first, in one transaction; the host is told of the webhook after it, and again by the health check
where that fails: `webhook_stale` stands until the host knows the secret that is stored.
"""

import secrets
from datetime import timedelta
from functools import partial
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import SecretStr
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import Code, Invalid, NotFound, Problem, ProviderUnavailable, Unavailable
from app.http import mismatch, require
from app.idempotency import Claim, claiming
from app.keyring import KeyRing, SealedError
from app.observability import log
from app.outgoing import TryLater
from app.relations.guards import refer
from app.repositories.hosts import Refused, ensure_webhook, git_host
from app.repositories.urls import Repository, parse_repository, stored_repository
from app.repositories.views import CurrentInfo, NewRepository
from app.settings import Settings
from app.users.views import current
from models.base import Raw, now
from models.outside_link import OutsideLink
from models.precondition import Expected
from models.repository_connection import RepositoryConnection
from models.sealed import Sealed

_SECRET_BYTES: Final = 32


class Inactive(Problem):
    """The repository connection is deactivated: activate it first."""

    status, code = 409, Code.INACTIVE


def webhook_url(settings: Settings, connection: RepositoryConnection) -> str:
    """Where the host delivers to."""
    return delivery_url(settings, connection.service_type, ObjectId(connection.id))


def delivery_url(settings: Settings, service: str, connection_id: ObjectId) -> str:
    """Where deliveries for a connection go."""
    return f"{settings.url}/v1/webhooks/{service.lower()}/{connection_id}"


def opened(connection: RepositoryConnection, field: str, keyring: KeyRing) -> SecretStr:
    """A secret of a connection.

    Raises:
        SealedError: it does not open, or is not there.
    """
    sealed: Sealed | None = getattr(connection, field)
    place = RepositoryConnection.place_in(_row(connection), field)
    if sealed is None:
        raise SealedError(f"there is no sealed {place}")
    return keyring.open(sealed, place)


def _row(connection: RepositoryConnection) -> Raw:
    return {"_id": connection.id, "projectId": connection.project_id}


async def find_repository(project_id: ObjectId) -> RepositoryConnection:
    """A project's repository connection.

    Raises:
        NotFound: it has none.
    """
    found = await RepositoryConnection.find_by_project(project_id)
    if found is None:
        raise NotFound("the project has no repository")
    return found


async def put_repository(
    project_id: ObjectId,
    content: NewRepository,
    expected: Expected | None,
    settings: Settings,
    keyring: KeyRing,
    claim: Claim | None = None,
) -> tuple[RepositoryConnection, bool]:
    """Connect a project to a repository, once the token has been seen to work; another URL replaces the one it had.

    Returns:
        The connection, and whether the project had none before.

    Raises:
        Invalid: the URL is no repository's, the host is not the service's, or it refuses the token.
        ProviderUnavailable: the host cannot be asked now.
        VersionMismatch: the precondition does not hold.
        NotFound: there is no such project.
        pymongo.errors.DuplicateKeyError: another project holds the repository.
    """
    repository = parse_repository(content.repository_url, content.service_type, settings)
    await _probe(settings, repository, content.access_token)
    fresh, secret = ObjectId(), SecretStr(secrets.token_urlsafe(_SECRET_BYTES))

    async def work(session: AsyncClientSession) -> tuple[RepositoryConnection, bool]:
        await refer(RepositoryConnection, {"_id": fresh, "projectId": project_id}, session)
        row = await RepositoryConnection.raw().find_one({"projectId": project_id}, session=session)
        _check(expected, row)
        if row is None:
            made = _new(fresh, project_id, repository, content.access_token, secret, keyring)
            return await made.add(session), True
        return await _replace(row, repository, content.access_token, secret, keyring, session), False

    connection, created = await claiming(claim, lambda: transaction(work), lambda made: 201 if made[1] else 200)
    return await register(connection, settings, keyring), created


def _check(expected: Expected | None, row: Raw | None) -> None:
    if expected is None:
        return
    if row is None and not expected.absent:
        raise mismatch(expected, None)
    if row is not None:
        found = RepositoryConnection.from_stored(row)
        require(expected, current(CurrentInfo.model_validate(found)), found.updated_at)


async def _probe(settings: Settings, repository: Repository, token: SecretStr) -> None:
    try:
        async with git_host(settings, repository, token.get_secret_value()) as host:
            await host.probe()
    except Refused as error:
        field = "/repositoryUrl" if error.reason == "repository_not_found" else "/accessToken"
        raise Invalid.field(field, "refused", f"{repository.service} refuses: {error.reason}") from None
    except TryLater as error:
        wait = int(error.retry_after or 0) or 30
        detail = f"{repository.service} does not answer: {error.reason}"
        raise ProviderUnavailable(detail, retry_after=wait) from None


def _new(
    connection_id: ObjectId,
    project_id: ObjectId,
    repository: Repository,
    token: SecretStr,
    secret: SecretStr,
    keyring: KeyRing,
) -> RepositoryConnection:
    row, moment = {"_id": connection_id, "projectId": project_id}, now()
    return RepositoryConnection(
        id=PydanticObjectId(connection_id),
        project_id=PydanticObjectId(project_id),
        repository_url=repository.url,
        service_type=repository.service,
        access_token=keyring.seal(token, RepositoryConnection.place_in(row, "access_token")),
        webhook_secret=keyring.seal(secret, RepositoryConnection.place_in(row, "webhook_secret")),
        connected_at=moment,
        last_sync_at=moment,
        next_health_check_at=moment,
    )


async def _replace(
    row: Raw,
    repository: Repository,
    token: SecretStr,
    secret: SecretStr,
    keyring: KeyRing,
    session: AsyncClientSession,
) -> RepositoryConnection:
    """Put another token, and maybe another repository, into the connection that the project has."""
    before, moment = RepositoryConnection.from_stored(row), now()
    fields = _secrets(before, token, secret, keyring) | {
        "isActive": True,
        "lastSyncAt": moment,
        "nextHealthCheckAt": moment,
    }
    if before.repository_url != repository.url:
        await OutsideLink.add_all(links_of([row]), session)
        fields |= {
            "repositoryUrl": repository.url,
            "serviceType": repository.service,
            "webhookId": None,
            "previousSecret": None,
            "connectedAt": moment,
        }
    changed = await RepositoryConnection.change({"_id": before.id}, fields, session=session)
    if changed is None:
        raise NotFound("the project has no repository")
    return changed


def _secrets(connection: RepositoryConnection, token: SecretStr | None, secret: SecretStr, keyring: KeyRing) -> Raw:
    """The fields of a new webhook secret, the one before kept beside it, and of a new token if there is one."""
    row = _row(connection)
    fields: Raw = {
        "webhookSecret": keyring.seal(secret, RepositoryConnection.place_in(row, "webhook_secret")).stored(),
        "webhookStale": True,
        "previousSecret": None,
        "previousSecretUntil": None,
    }
    if token is not None:
        fields["accessToken"] = keyring.seal(token, RepositoryConnection.place_in(row, "access_token")).stored()
    if connection.is_active:
        try:
            kept = connection.previous_secret if connection.webhook_stale else None
            old = opened(connection, "previous_secret" if kept else "webhook_secret", keyring)
            place = RepositoryConnection.place_in(row, "previous_secret")
            fields["previousSecret"] = keyring.seal(old, place).stored()
        except SealedError as error:
            log.error("a webhook secret does not open", reason=str(error))
    return fields


async def register(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> RepositoryConnection:
    """Tell the host of the webhook and its secret; where it cannot be told now, the health check goes on.

    Returns:
        The connection as it is then.
    """
    reason = None
    try:
        webhook_id = await tell_host(connection, settings, keyring)
    except Refused as error:
        reason, health = error.reason, "failed"
    except (TryLater, SealedError) as error:
        reason, health = getattr(error, "reason", "secret_unreadable"), "degraded"
    if reason is None:
        return await note_registered(connection, webhook_id, settings) or connection
    fields: Raw = {"healthStatus": health, "healthReasons": [reason], "lastHealthCheckAt": now()}
    changed = await RepositoryConnection.change({"_id": connection.id}, fields, expected=connection.version)
    return changed or connection


async def tell_host(connection: RepositoryConnection, settings: Settings, keyring: KeyRing) -> str:
    """Have the webhook at the host, with the secret that is stored; its id.

    Raises:
        Refused, TryLater: by the host.
        SealedError: token or secret do not open.
    """
    repository = stored_repository(connection.repository_url, connection.service_type, settings)
    if repository is None:
        raise Refused("host_unknown")
    token, secret = opened(connection, "access_token", keyring), opened(connection, "webhook_secret", keyring)
    async with git_host(settings, repository, token.get_secret_value()) as host:
        return await ensure_webhook(host, webhook_url(settings, connection), secret.get_secret_value())


async def note_registered(
    connection: RepositoryConnection, webhook_id: str, settings: Settings, held: Raw | None = None
) -> RepositoryConnection | None:
    """Note that the host knows the secret. The old one's time begins.

    Args:
        connection: as it was read.
        webhook_id: the host's.
        settings: when to look again.
        held: the filter of the claim by which a check told the host.

    Returns:
        The connection; None where another secret was stored meanwhile, or the claim was lost.
    """
    moment = now()
    fields: Raw = {
        "webhookId": webhook_id,
        "webhookStale": False,
        "healthStatus": "healthy",
        "healthReasons": [],
        "lastHealthCheckAt": moment,
        "failures": 0,
        "nextHealthCheckAt": moment + timedelta(seconds=settings.repository_check_seconds),
    }
    if connection.previous_secret is not None and connection.webhook_stale:
        fields["previousSecretUntil"] = moment + timedelta(seconds=settings.webhook_overlap_seconds)
    where = {
        **(held or {"_id": connection.id}),
        "isActive": True,
        "webhookSecret.c": connection.webhook_secret.stored().get("c"),
    }
    return await RepositoryConnection.change(where, fields)


async def rotate_secret(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing, claim: Claim | None = None
) -> RepositoryConnection:
    """Give the webhook a fresh secret; the one before stays valid until the host knows, and for a while after.

    Raises:
        Inactive: the connection is deactivated.
        Unavailable: somebody else was faster.
    """
    if not connection.is_active:
        raise Inactive("the repository connection is deactivated")
    fields = _secrets(connection, None, SecretStr(secrets.token_urlsafe(_SECRET_BYTES)), keyring)
    changed = await claiming(claim, partial(_change, connection, fields | {"nextHealthCheckAt": now()}))
    if changed is None:
        raise Unavailable("other writers of this repository connection were faster")
    return await register(changed, settings, keyring)


async def _change(connection: RepositoryConnection, fields: Raw) -> RepositoryConnection | None:
    """Set fields of a connection that is still as read; None where it is not."""

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        where = {"_id": connection.id}
        return await RepositoryConnection.change(where, fields, expected=connection.version, session=session)

    return await transaction(work)


async def deactivate(connection: RepositoryConnection, claim: Claim | None = None) -> RepositoryConnection | None:
    """Take no more deliveries; a job removes the webhook, the token stays. None where it was changed meanwhile."""

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        row = await RepositoryConnection.raw().find_one({"_id": connection.id}, session=session)
        if row is None:
            return None
        await OutsideLink.add_all(links_of([row]), session)
        fields = {"isActive": False, "webhookId": None, "webhookStale": True, "nextHealthCheckAt": None}
        return await RepositoryConnection.change(
            {"_id": connection.id},
            fields | {"previousSecret": None, "previousSecretUntil": None},
            expected=connection.version,
            session=session,
        )

    return await claiming(claim, lambda: transaction(work))


async def activate(
    connection: RepositoryConnection, settings: Settings, keyring: KeyRing, claim: Claim | None = None
) -> RepositoryConnection | None:
    """Take deliveries again, by a fresh secret. None where it was changed meanwhile."""
    fields = _secrets(connection, None, SecretStr(secrets.token_urlsafe(_SECRET_BYTES)), keyring)
    fields |= {"isActive": True, "nextHealthCheckAt": now()}
    changed = await claiming(claim, partial(_change, connection, fields))
    return None if changed is None else await register(changed, settings, keyring)


def links_of(rows: list[Raw]) -> list[OutsideLink]:
    """The webhooks that stored connections stand for."""
    return [
        OutsideLink.of(
            "repository",
            row,
            "projectId",
            {name: row.get(name) for name in ("repositoryUrl", "serviceType", "webhookId")},
        )
        for row in rows
        if row.get("accessToken") and row.get("isActive")
    ]
