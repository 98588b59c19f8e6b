"""The rules of connections: making one, changing it, giving it a new token, disconnecting."""

from datetime import datetime
from functools import partial
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import SecretStr, TypeAdapter, ValidationError
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.access import provider_of
from app.connections.accounts import ToldLogin
from app.connections.providers.api import LoginNeeded, Revoked
from app.connections.schemas import ConnectionView, NewConnection, Token
from app.connections.syncs import disconnected
from app.database import joined, transaction
from app.database.turns import turn
from app.errors import Duplicate, Forbidden, Invalid, NotFound, ProviderUnavailable
from app.identity.principal import Principal, authorize
from app.outside.client import TryLater
from app.outside.keyring import KeyRing
from app.relations.guards import check_references
from app.settings import Settings
from app.shown.documents import current
from app.web.idempotency import Claim, Done, claiming, once
from app.web.patches import PatchKind, apply_patch
from app.web.preconditions import require
from app.web.validation.errors import validation_problem
from models.bank_account import BankAccount
from models.base import Raw, Session, now
from models.connection import Connection, Label, Provider
from models.ledger_note import LedgerNote
from models.living import is_living
from models.outside_link import OutsideLink
from models.precondition import Expected
from models.values import Json

_CHANGEABLE: Final = frozenset({"label", "institution", "status", "accessToken"})


def authorize_bank(caller: Principal, scope: str, user_id: ObjectId | None, what: str) -> None:
    """Let the caller pass to a user's bank data, or raise; a token of one app reaches none of it.

    Args:
        caller: who calls.
        scope: that a key needs.
        user_id: whose data it is; None where there is none.
        what: for the detail of a 404, the same for what is another's and what is not there.

    Raises:
        Forbidden: the key lacks the scope, or the token is bound to an app.
        NotFound: it is another's, or not there.
    """
    if caller.kind == "user" and caller.app_id is not None:
        raise Forbidden("this token is bound to one app and does not reach bank data")
    try:
        authorize(caller, scope, user_id=user_id or caller.id)
    except NotFound:
        raise NotFound(f"there is no such {what}") from None
    if user_id is None:
        raise NotFound(f"there is no such {what}")


async def find_connection(
    caller: Principal, scope: str, connection_id: ObjectId | None
) -> Connection:
    """A connection that the caller may reach.

    Raises:
        Forbidden, NotFound: as `authorize_bank`.
    """
    found = await Connection.find_by_id(connection_id)
    authorize_bank(caller, scope, ObjectId(found.user_id) if found else None, "connection")
    if found is None or not await is_living(Connection, {"_id": found.id, "userId": found.user_id}):
        raise NotFound("there is no such connection")
    return found


async def find_account(caller: Principal, scope: str, account_id: ObjectId | None) -> BankAccount:
    """A bank account that the caller may reach.

    Raises:
        Forbidden, NotFound: as `authorize_bank`.
    """
    found = await BankAccount.find_by_id(account_id)
    authorize_bank(caller, scope, ObjectId(found.user_id) if found else None, "bank account")
    if found is None or not await is_living(BankAccount, {"_id": found.id, **found.stored()}):
        raise NotFound("there is no such bank account")
    return found


async def connect(
    user_id: ObjectId,
    content: NewConnection,
    claim: Claim | None,
    settings: Settings,
    keyring: KeyRing,
) -> Done:
    """Make a connection, once its token has been seen to work; the worker syncs it soon.

    Raises:
        Invalid: the provider is not offered, or does not take the token.
        ProviderUnavailable: it cannot be asked now.
        NotFound: there is no such user.
    """
    if content.provider == "sandbox" and not settings.sandbox_offered:
        raise Invalid.field(
            "/provider", "not_allowed", "this deployment does not offer the sandbox"
        )
    enrollment = await _probe(settings, content.provider, content.access_token)
    moment = now()

    async def work(session: AsyncClientSession, connection_id: ObjectId) -> None:
        connection = _new(connection_id, user_id, content, enrollment, moment, keyring)
        await check_references(Connection, connection.stored(), session)
        await _refuse_known_login(connection, enrollment, session)
        await connection.add(session)

    return await once(claim, 201, work)


def _new(
    connection_id: ObjectId,
    user_id: ObjectId,
    content: NewConnection,
    enrollment: str | None,
    moment: datetime,
    keyring: KeyRing,
) -> Connection:
    place = Connection.place_in({"_id": connection_id, "userId": user_id}, "access_token")
    return Connection(
        id=PydanticObjectId(connection_id),
        user_id=PydanticObjectId(user_id),
        provider=content.provider,
        institution=content.institution,
        label=content.label,
        access_token=keyring.seal(content.access_token, place),
        enrollment_id=enrollment,
        authenticated_at=moment,
        next_attempt_at=moment,
    )


async def _refuse_known_login(
    connection: Connection, enrollment: str | None, session: Session
) -> None:
    """Refuse a login that another connection of the person stands for: its history would be there
    twice.

    Raises:
        Duplicate: naming that connection by its id, institution and label.
    """
    if enrollment is None:
        return
    where = {
        "userId": connection.user_id,
        "enrollmentId": enrollment,
        "_id": {"$ne": connection.id},
    }
    found = await Connection.raw().find_one(where, {"institution": 1, "label": 1}, session=session)
    if found is not None:
        raise Duplicate(
            f"your connection to {found['institution']} ({found['label']}) has this login: give the"
            " token to that one",
            extra={"connectionId": str(found["_id"])},
        )


async def _probe(settings: Settings, provider: Provider, token: SecretStr) -> str | None:
    """See that a token works; the provider's id of its login, where it tells one."""
    try:
        async with provider_of(settings, provider, token.get_secret_value()) as opened:
            told = await ToldLogin.ask(opened)
    except (LoginNeeded, Revoked) as error:
        raise Invalid.field(
            "/accessToken", "refused", f"the provider refuses this token: {error.reason}"
        ) from None
    except TryLater as error:
        wait = int(error.retry_after or 0) or 30
        raise ProviderUnavailable(
            f"the provider does not answer: {error.reason}", retry_after=wait
        ) from None
    return told.enrollment_id


async def patch_connection(
    connection: Connection,
    kind: PatchKind,
    patch: Json,
    expected: Expected | None,
    settings: Settings,
    keyring: KeyRing,
    claim: Claim | None = None,
) -> Connection:
    """Change a connection by a patch of what `GET` shows: its names, a new `accessToken`, `status:
    disconnected`.

    The claim is made with the change, behind the question whether a new token works.

    Raises:
        VersionMismatch: the precondition does not hold.
        Invalid: the result is not acceptable.
        ProviderUnavailable: a new token cannot be tried now.
        NotFound: it went meanwhile.
    """
    tried: str | None = None
    async with turn(Connection, connection.id) as patience:
        while True:
            before = current(ConnectionView.model_validate(connection))
            require(expected, before)
            fields = _changed(before, apply_patch(kind, patch, before))
            token: SecretStr | None = fields.pop("accessToken", None)
            if token is not None:
                enrollment = (
                    await _probe(settings, connection.provider, token) if tried is None else tried
                )
                tried = enrollment or ""
                await _refuse_known_login(connection, enrollment, None)
                fields |= _authenticated(connection, token, enrollment or None, keyring)
            changed = await claiming(claim, partial(_apply, connection, fields))
            if changed is not None:
                return changed
            again = await Connection.find_by_id(ObjectId(connection.id))
            if again is None:
                raise NotFound("there is no such connection")
            connection = again
            await patience.again()


async def _apply(connection: Connection, fields: Raw) -> Connection | None:
    """Set the fields if the version is still the same; access that nobody holds any more is given
    up by a job."""
    if not fields:
        return connection
    where = {"_id": connection.id}
    ended = fields.get("status") == "disconnected"
    login = connection.enrollment_id
    replaced = "accessToken" in fields and login is not None and login != fields["enrollmentId"]
    if "accessToken" not in fields and not ended:
        return await Connection.change(where, fields, expected=connection.version, session=joined())

    async def work(session: AsyncClientSession) -> Connection | None:
        row = await Connection.raw().find_one(
            {**where, "version": connection.version}, session=session
        )
        if row is None:
            return None
        if ended or replaced:
            await OutsideLink.add_all(links_of([row]), session)
        changes = disconnected("by_user") | fields if ended else fields
        changed = await Connection.change(
            where, changes, expected=connection.version, session=session
        )
        if changed is not None and (ended or replaced):
            await LedgerNote.take("access", changed, session)
        return changed

    return await transaction(work)


def links_of(rows: list[Raw]) -> list[OutsideLink]:
    """The outside links that stored connections stand for: Teller's access to the banks."""
    return [
        OutsideLink.of(
            "bank",
            row,
            "userId",
            {"provider": row["provider"], "enrollmentId": row.get("enrollmentId")},
        )
        for row in rows
        if row.get("accessToken") and row["provider"] != "sandbox"
    ]


def _check_status(changed: Raw) -> None:
    """A patch disconnects, or connects by a new token."""
    if "status" not in changed:
        return
    if changed["status"] != "disconnected":
        raise Invalid.field(
            "/status", "not_applicable", "a patch can disconnect; a new accessToken connects again"
        )
    if "accessToken" in changed:
        raise Invalid.field(
            "/accessToken", "conflicting", "a patch connects or disconnects, not both"
        )


def _changed(before: dict[str, Any], after: Json) -> Raw:
    """The fields that a patch changes, checked."""
    if not isinstance(after, dict):
        raise Invalid.field("", "malformed", "a connection is an object")
    changed = {
        name: after.get(name)
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }
    for name in sorted(changed):
        if name not in _CHANGEABLE:
            code = "read_only" if name in before else "unknown"
            raise Invalid.field(f"/{name}", code, f"{name[:64]} does not change by a patch")
    _check_status(changed)
    fields: Raw = {
        name: _validated(name, value) for name, value in changed.items() if name != "status"
    }
    return fields | ({"status": "disconnected"} if "status" in changed else {})


def _validated(name: str, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(Token if name == "accessToken" else Label)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        details = error.errors(include_input=False)
        raise validation_problem(
            [{**detail, "loc": (name, *detail["loc"])} for detail in details], ""
        ) from None


def _authenticated(
    connection: Connection, token: SecretStr, enrollment: str | None, keyring: KeyRing
) -> Raw:
    """The fields of a connection whose new token works; accounts and history stay, a sync with the
    old one ends."""
    place = Connection.place_in(
        {"_id": connection.id, "userId": connection.user_id}, "access_token"
    )
    moment = now()
    return {
        "accessToken": keyring.seal(token, place).stored(),
        "status": "connected",
        "statusReason": None,
        "enrollmentId": enrollment,
        "authenticatedAt": moment,
        "nextAttemptAt": moment,
        "cursor": None,
        "running": None,
        "failures": 0,
    }
