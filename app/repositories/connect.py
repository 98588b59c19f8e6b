"""The rules of a project's repository connection: connect, replace, rotate the secret, activate
again.

What is stored comes first, in one transaction; the host is told of the webhook after it, and again
by the health check
where that fails: `webhook_stale` stands until the host knows the secret that is stored.
"""

import secrets
from functools import partial
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import SecretStr
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.database import transaction
from app.errors import Duplicate, NotFound, Problem, Unavailable
from app.errors.codes import Code
from app.outside.keyring import KeyRing, SealedError
from app.relations.guards import check_references
from app.repositories.hosts.probing import Place, probe
from app.repositories.hosts.urls import parse_repository
from app.repositories.links import links_of, opened, row_of
from app.repositories.moves import clear_name
from app.repositories.registration import register
from app.repositories.schemas import CurrentInfo, NewRepository
from app.settings import Settings
from app.shown.documents import current
from app.web.idempotency import Claim, claiming
from app.web.observability import log
from app.web.preconditions import mismatch, require
from models.base import Raw, now
from models.ledger_note import LedgerNote
from models.outside_link import OutsideLink
from models.precondition import Expected
from models.repository_connection import RepositoryConnection

_SECRET_BYTES: Final = 32


class Inactive(Problem):
    """The repository connection is deactivated: activate it first."""

    status, code = 409, Code.INACTIVE


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
    """Connect a project to a repository, once the token has been seen to work; another URL replaces
    the one it had.

    Returns:
        The connection, and whether the project had none before.

    Raises:
        Invalid: the URL is no repository's, the host is not the service's, or it refuses the token.
        ProviderUnavailable: the host cannot be asked now.
        VersionMismatch: the precondition does not hold.
        NotFound: there is no such project.
        Duplicate: another project holds the repository, under this name or another.
    """
    repository = parse_repository(content.repository_url, content.service_type, settings)
    before = await RepositoryConnection.find_by_project(project_id)
    same = before is not None and before.repository_url == repository.url
    place = await probe(
        settings, repository, content.access_token, before.remote_id if before and same else None
    )
    fresh, secret = ObjectId(), SecretStr(secrets.token_urlsafe(_SECRET_BYTES))

    async def work(session: AsyncClientSession) -> tuple[RepositoryConnection, bool]:
        await check_references(
            RepositoryConnection, {"_id": fresh, "projectId": project_id}, session
        )
        row = await RepositoryConnection.raw().find_one({"projectId": project_id}, session=session)
        _check(expected, row)
        await clear_name(place.repository.url, place.remote_id, session)
        if row is None:
            made = _new(fresh, project_id, place, content.access_token, secret, keyring)
            return await made.add(session), True
        return await _replace(row, place, content.access_token, secret, keyring, session), False

    try:
        connection, created = await claiming(
            claim, lambda: transaction(work), lambda made: 201 if made[1] else 200
        )
    except DuplicateKeyError as error:
        raise _taken(error) from None
    return await register(connection, settings, keyring), created


def _taken(error: DuplicateKeyError) -> Exception:
    """What to raise for a value that is taken: name and id stand for the repository that another
    project has."""
    if not {"repositoryUrl", "remoteId"} & set((error.details or {}).get("keyPattern", {})):
        return error
    detail = "another project is connected to this repository"
    return Duplicate(
        detail, errors=[{"pointer": "/repositoryUrl", "code": "duplicate", "detail": detail}]
    )


def _check(expected: Expected | None, row: Raw | None) -> None:
    if expected is None:
        return
    if row is None and not expected.absent:
        raise mismatch(expected, None)
    if row is not None:
        found = RepositoryConnection.from_stored(row)
        require(expected, current(CurrentInfo.model_validate(found)), found.updated_at)


def _new(
    connection_id: ObjectId,
    project_id: ObjectId,
    place: Place,
    token: SecretStr,
    secret: SecretStr,
    keyring: KeyRing,
) -> RepositoryConnection:
    row, moment = {"_id": connection_id, "projectId": project_id}, now()
    return RepositoryConnection(
        id=PydanticObjectId(connection_id),
        project_id=PydanticObjectId(project_id),
        repository_url=place.repository.url,
        remote_id=place.remote_id,
        service_type=place.repository.service,
        access_token=keyring.seal(token, RepositoryConnection.place_in(row, "access_token")),
        webhook_secret=keyring.seal(secret, RepositoryConnection.place_in(row, "webhook_secret")),
        connected_at=moment,
        last_sync_at=moment,
        next_health_check_at=moment,
    )


async def _replace(
    row: Raw,
    place: Place,
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
    fields |= {"repositoryUrl": place.repository.url, "remoteId": place.remote_id}
    if not _is_same(before, place):
        await OutsideLink.add_all(links_of([row]), session)
        fields |= {
            "serviceType": place.repository.service,
            "webhookId": None,
            "previousSecret": None,
            "connectedAt": moment,
        }
    changed = await RepositoryConnection.change({"_id": before.id}, fields, session=session)
    if changed is None:
        raise NotFound("the project has no repository")
    await LedgerNote.take("repository", changed, session)
    return changed


def _is_same(before: RepositoryConnection, place: Place) -> bool:
    """Whether a project is connected to this repository already: by the id, and by the name where
    no id is known."""
    if before.remote_id is not None and place.remote_id is not None:
        return before.remote_id == place.remote_id
    return before.repository_url == place.repository.url


def _secrets(
    connection: RepositoryConnection, token: SecretStr | None, secret: SecretStr, keyring: KeyRing
) -> Raw:
    """The fields of a new webhook secret, the one before kept beside it, and of a new token if
    there is one."""
    row = row_of(connection)
    fields: Raw = {
        "webhookSecret": (
            keyring.seal(secret, RepositoryConnection.place_in(row, "webhook_secret")).stored()
        ),
        "webhookStale": True,
        "previousSecret": None,
        "previousSecretUntil": None,
    }
    if token is not None:
        fields["accessToken"] = keyring.seal(
            token, RepositoryConnection.place_in(row, "access_token")
        ).stored()
    if connection.is_active:
        try:
            kept = connection.previous_secret if connection.webhook_stale else None
            old = opened(connection, "previous_secret" if kept else "webhook_secret", keyring)
            place = RepositoryConnection.place_in(row, "previous_secret")
            fields["previousSecret"] = keyring.seal(old, place).stored()
        except SealedError as error:
            log.error("a webhook secret does not open", reason=str(error))
    return fields


async def rotate_secret(
    connection: RepositoryConnection,
    settings: Settings,
    keyring: KeyRing,
    claim: Claim | None = None,
) -> RepositoryConnection:
    """Give the webhook a fresh secret; the one before stays valid until the host knows, and for a
    while after.

    Raises:
        Inactive: the connection is deactivated.
        Unavailable: somebody else was faster.
    """
    if not connection.is_active:
        raise Inactive("the repository connection is deactivated")
    fields = _secrets(connection, None, SecretStr(secrets.token_urlsafe(_SECRET_BYTES)), keyring)
    changed = await claiming(
        claim, partial(_change, connection, fields | {"nextHealthCheckAt": now()}, takes=True)
    )
    if changed is None:
        raise Unavailable("other writers of this repository connection were faster")
    return await register(changed, settings, keyring)


async def _change(
    connection: RepositoryConnection, fields: Raw, *, takes: bool = False
) -> RepositoryConnection | None:
    """Set fields of a connection that is still as read; None where it is not. `takes`: what it was
    is not to come back."""

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        where = {"_id": connection.id}
        changed = await RepositoryConnection.change(
            where, fields, expected=connection.version, session=session
        )
        if takes and changed is not None:
            await LedgerNote.take("repository", changed, session)
        return changed

    return await transaction(work)


async def activate(
    connection: RepositoryConnection,
    settings: Settings,
    keyring: KeyRing,
    claim: Claim | None = None,
) -> RepositoryConnection | None:
    """Take deliveries again, by a fresh secret. None where it was changed meanwhile."""
    fields = _secrets(connection, None, SecretStr(secrets.token_urlsafe(_SECRET_BYTES)), keyring)
    fields |= {"isActive": True, "nextHealthCheckAt": now()}
    changed = await claiming(claim, partial(_change, connection, fields))
    return None if changed is None else await register(changed, settings, keyring)
