"""The rules of users: creating one with all that belongs to them, changing, logging in,
deleting."""

from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import ValidationError
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import joined, transaction
from app.database.turns import turn
from app.errors import Forbidden, Invalid, NotFound
from app.identity import trail
from app.identity.caller import refuse_admin
from app.identity.principal import Principal
from app.shown.documents import PreferencesView, ProfileView, current, user_view
from app.users.accounts import account_of, check_move
from app.users.emails import free_email
from app.users.schemas import CompleteView
from app.web.idempotency import Claim, Done, once
from app.web.patches import PatchKind, apply_patch
from app.web.preconditions import require
from app.web.validation.errors import validation_problem
from models.activity import Activity, ActivityContent
from models.analytics import Analytics, AnalyticsContent
from models.base import Stored
from models.ledger_note import LedgerNote, taken_of_user
from models.living import is_living
from models.precondition import Expected
from models.preferences import Preferences
from models.profile import Profile
from models.refresh_token import RefreshToken
from models.user import User, UserContent
from models.values import Json

_GRANTED: Final = frozenset({"roles", "permissions", "role", "accountId", "authMethods"})
_OWNERS: Final = frozenset({"name"})
_TOLD: Final = frozenset({"authMethods"})  # part of a user's content, and never a patch's to change
_READ_ONLY: Final = frozenset(
    {
        "id",
        "version",
        "createdAt",
        "updatedAt",
        "lastLogin",
        "accountId",
        "authMethods",
        "emailVerifiedAt",
        "nextSteps",
    }
)
_AUDITED: Final[tuple[str, ...]] = ("roles", "permissions", "role")


async def create_user(
    content: UserContent, claim: Claim | None, by: Principal | None = None
) -> Done:
    """User, profile and preferences in one transaction (required: User Creation Flow); `by` is who
    grants roles.

    Raises:
        pymongo.errors.DuplicateKeyError: the canonical email is taken.
    """

    async def work(session: AsyncClientSession, user_id: ObjectId) -> None:
        await add_user(user_id, content, session, by=by)

    return await once(claim, 201, work)


async def add_user(
    user_id: ObjectId,
    content: UserContent,
    session: AsyncClientSession,
    *,
    account_id: PydanticObjectId | None = None,
    by: Principal | None = None,
) -> None:
    """Insert a user with profile and preferences, within a transaction that has checked the
    account, if any.

    What an account says of its user's email is no more than its word: it is shown, and keeps it
    from nobody else. What more than any other user they are is recorded as granted by whom `by`
    says.
    """
    user = User(id=user_id, account_id=account_id, **content.model_dump(by_alias=False))
    if account_id is not None:
        user.email, user.claimed_email = None, content.email
    elif content.email is not None:
        await free_email(content.email, user_id, session)
    await user.add(session)
    await Profile(user_id=user_id, display_name=content.name).add(session)
    await Preferences(user_id=user_id).add(session)
    if by is not None and (granted := _granted(content)):
        detail = {name: {"to": getattr(content, name)} for name in granted}
        await trail.record("grant", by.name, user_id=user_id, detail=detail, session=session)


def check_grants(caller: Principal, content: UserContent) -> None:
    """Only an admin makes a user who is more than any other, and nobody says how a new user signs
    in.

    Raises:
        Invalid: the content names ways of signing in, which follow from identities.
        Forbidden: the content says otherwise, naming the field.
    """
    if content.auth_methods:
        raise Invalid.field("/authMethods", "read_only", "authMethods follow from identities")
    if (granted := _granted(content)) and not caller.is_admin:
        _refuse(granted)


def _granted(content: UserContent) -> list[str]:
    """The fields by which a new user is more than any other."""
    default = UserContent()
    return [name for name in _AUDITED if getattr(content, name) != getattr(default, name)]


async def find_user(user_id: ObjectId) -> User:
    """The user with this id.

    Raises:
        NotFound: there is none.
    """
    row = await User.raw().find_one({"_id": user_id}, session=joined())
    if row is None or not await is_living(User, row):
        raise NotFound("there is no such user")
    return User.from_stored(row)


async def expand_user(user_id: ObjectId) -> dict[str, Any]:
    """The user as `expand=user` embeds it.

    Raises:
        NotFound: the user is gone.
    """
    row = await User.raw().find_one({"_id": user_id})
    if row is None or not await is_living(User, row):
        raise NotFound("there is no such user")
    return current(user_view(User.from_stored(row)))


async def complete(user_id: ObjectId) -> CompleteView:
    """User, profile and preferences by one query.

    Raises:
        NotFound: there is no such user.
    """
    pipeline = [{"$match": {"_id": user_id}}, _lookup(Profile), _lookup(Preferences)]
    rows = await (await User.raw().aggregate(pipeline)).to_list()
    if not rows or not await is_living(User, rows[0]):
        raise NotFound("there is no such user")
    profiles = [Profile.from_stored(row) for row in rows[0]["profiles"]]
    preferences = [Preferences.from_stored(row) for row in rows[0]["preferences"]]
    return CompleteView(
        user=user_view(User.from_stored(rows[0])),
        profile=ProfileView.model_validate(profiles[0]) if profiles else None,
        preferences=PreferencesView.model_validate(preferences[0]) if preferences else None,
    )


def _lookup(child: type[Stored]) -> dict[str, Any]:
    name = child.collection_name()
    return {"$lookup": {"from": name, "localField": "_id", "foreignField": "userId", "as": name}}


async def patch_user(
    caller: Principal, user_id: ObjectId, kind: PatchKind, patch: Json, expected: Expected | None
) -> User:
    """Change a user by a patch of what `GET` shows.

    Raises:
        NotFound: there is no such user.
        VersionMismatch: the precondition does not hold.
        Forbidden: the patch changes what this caller may not change, or an admin.
        Invalid: the result is no user, or changes what never changes.
        Restricted, BadReference: an admin gives the user another account, see `check_move`.
    """
    async with turn(User, user_id) as patience:
        while True:
            user = await find_user(user_id)
            refuse_admin(caller, user.is_admin)
            before = current(user_view(user))
            require(expected, before)
            after = apply_patch(kind, patch, before)
            fields = _changed_fields(caller, before, after)
            if not fields:
                return user
            changed = await _change(caller, user, fields)
            if changed is not None:
                return changed
            await patience.again()


async def _follow_up(
    caller: Principal,
    user: User,
    changed: User,
    fields: dict[str, Any],
    session: AsyncClientSession,
) -> None:
    """What a change of account or status brings with it."""
    if "accountId" in fields:
        await check_move(user, fields["accountId"], session)
    await LedgerNote.enter(taken_of_user(user.stored(), changed.stored()), session)
    if "status" in fields:
        await _note_status(user, fields["status"], caller, session)


def _grants(user: User, fields: dict[str, Any]) -> dict[str, Any]:
    """What of the fields is granted, from what it was to what it is to be."""
    before = user.model_dump(by_alias=True, include=set(_AUDITED))
    return {name: {"from": before[name], "to": fields[name]} for name in _AUDITED if name in fields}


async def _change(caller: Principal, user: User, fields: dict[str, Any]) -> User | None:
    """Set fields of a user who is still as read, None otherwise.

    A grant is recorded, an email freed, and another account referred to, in the same transaction.
    """
    email: str | None = fields.get("email")
    granted = _grants(user, fields)

    async def work(session: AsyncClientSession) -> User | None:
        if email is not None:
            await free_email(email, ObjectId(user.id), session)
        changed = await User.change(
            {"_id": user.id}, fields, expected=user.version, session=session
        )
        if changed is not None:
            await _follow_up(caller, user, changed, fields, session)
            if granted:
                await trail.record(
                    "grant", caller.name, user_id=user.id, detail=granted, session=session
                )
        return changed

    if granted or email is not None or {"accountId", "status"} & fields.keys():
        return await transaction(work)
    return await User.change({"_id": user.id}, fields, expected=user.version, session=joined())


async def _note_status(
    user: User, status: str, caller: Principal, session: AsyncClientSession
) -> None:
    """Record that a person is inactive, or active again.

    Their sessions stay, and are touched: a write that is under way by one of them is looked at
    anew.
    """
    await RefreshToken.touch([ObjectId(user.id)], session=session)
    detail = {"status": {"from": user.status, "to": status}}
    await trail.record(
        "status_changed", caller.name, user_id=user.id, detail=detail, session=session
    )


def _allowed(caller: Principal, before: dict[str, Any]) -> frozenset[str]:
    """The fields that a caller may change."""
    if caller.is_admin:
        return frozenset(before)
    return _OWNERS if caller.kind == "user" else frozenset(before) - _GRANTED


def _changed_fields(caller: Principal, before: dict[str, Any], after: Json) -> dict[str, Any]:
    if not isinstance(after, dict):
        raise Invalid.field("", "malformed", "a user is an object")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    moves = {"accountId"} if caller.is_admin else set()
    if fixed := sorted((changed & _READ_ONLY) - moves):
        raise Invalid.field(f"/{fixed[0]}", "read_only", f"{fixed[0]} does not change by a patch")
    if refused := sorted(changed & before.keys() - _allowed(caller, before)):
        _refuse(refused)
    try:
        content = UserContent.model_validate(
            {name: after[name] for name in after if name not in _READ_ONLY - _TOLD}
        )
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    stored = content.model_dump(by_alias=True)
    if stored["email"] == before.get("email"):  # in another spelling, which changes nothing
        changed.discard("email")
    if "accountId" in changed:
        stored["accountId"] = account_of(after.get("accountId"))
    unverified = {"emailVerifiedAt": None, "claimedEmail": None} if "email" in changed else {}
    return {name: stored[name] for name in changed} | unverified


def _refuse(names: list[str]) -> None:
    errors = [
        {"pointer": f"/{name}", "code": "forbidden", "detail": "only an admin changes this"}
        for name in names
    ]
    raise Forbidden("this caller may not change " + ", ".join(names), errors=errors)


async def log_in(
    user_id: ObjectId, app_id: str, session_id: str | None, claim: Claim | None
) -> Done:
    """lastLogin, an activity and an event in one transaction (required: User Activity Tracking
    Flow).

    Raises:
        NotFound: there is no such user.
    """

    async def work(session: AsyncClientSession, activity_id: ObjectId) -> None:
        await note_login(user_id, app_id, session, session_id=session_id, activity_id=activity_id)

    async with turn(User, user_id):
        return await once(claim, 201, work)


async def note_login(
    user_id: ObjectId,
    app_id: str,
    session: AsyncClientSession,
    *,
    session_id: str | None = None,
    activity_id: ObjectId | None = None,
) -> None:
    """lastLogin, an activity and an event, in a transaction: the user is written in it, which
    conflicts with their deletion.

    Raises:
        NotFound: there is no such user.
    """
    try:
        await User(id=user_id).update_last_login(session=session)
    except LookupError:
        raise NotFound("there is no such user") from None
    told = ActivityContent(app_id=app_id, event_type="login", session_id=session_id)
    activity = Activity(id=activity_id, user_id=user_id, **told.model_dump(by_alias=False))
    await activity.add(session)
    event = AnalyticsContent(
        app_id=app_id, event_name="login", event_category="engagement", session_id=session_id
    )
    await Analytics.create_analytics(event, user_id, session=session)
