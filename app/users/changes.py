"""The rules of users: creating one with all that belongs to them, changing, logging in, deleting."""

from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import ValidationError
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import Forbidden, Invalid, NotFound, Unavailable, VersionMismatch
from app.http import holds, wants_absence
from app.idempotency import Claim, Done, once
from app.patches import PatchKind, apply_patch
from app.principal import Principal
from app.relations.delete import delete_root
from app.relations.living import is_living
from app.settings import Settings
from app.users.accounts import account_of, move_user
from app.users.views import current, user_view
from app.validation import validation_problem
from models.activity import Activity, ActivityContent
from models.analytics import Analytics, AnalyticsContent
from models.deletion import Deletion
from models.precondition import Expected
from models.preferences import Preferences
from models.profile import Profile
from models.user import User, UserContent
from models.values import Json

_RACES: Final = 20
_GRANTED: Final = frozenset({"roles", "permissions", "role", "accountId", "authMethods"})
_OWNERS: Final = frozenset({"name"})
_TOLD: Final = frozenset({"authMethods"})  # part of a user's content, and never a patch's to change
_READ_ONLY: Final = frozenset({"id", "version", "createdAt", "updatedAt", "lastLogin", "accountId", "authMethods"})


async def create_user(content: UserContent, claim: Claim | None) -> Done:
    """User, profile and preferences in one transaction (seed 002, User Creation Flow).

    Raises:
        pymongo.errors.DuplicateKeyError: the canonical email is taken.
    """

    async def work(session: AsyncClientSession, user_id: ObjectId) -> None:
        await add_user(user_id, content, session)

    return await once(claim, 201, work)


async def add_user(
    user_id: ObjectId, content: UserContent, session: AsyncClientSession, *, account_id: PydanticObjectId | None = None
) -> None:
    """Insert a user with profile and preferences, within a transaction that has checked the account, if any."""
    await User(id=user_id, account_id=account_id, **content.model_dump(by_alias=False)).add(session)
    await Profile(user_id=user_id, display_name=content.name).add(session)
    await Preferences(user_id=user_id).add(session)


def check_grants(caller: Principal, content: UserContent) -> None:
    """Only an admin makes a user who is more than any other.

    Raises:
        Forbidden: the content says otherwise, naming the field.
    """
    default = UserContent()
    granted = [
        name
        for name, attribute in (("roles", "roles"), ("permissions", "permissions"), ("role", "role"))
        if getattr(content, attribute) != getattr(default, attribute)
    ]
    if granted and not caller.is_admin:
        _refuse(granted)


async def find_user(user_id: ObjectId) -> User:
    """The user with this id.

    Raises:
        NotFound: there is none.
    """
    row = await User.raw().find_one({"_id": user_id})
    if row is None or not await is_living(User, row):
        raise NotFound("there is no such user")
    return User.from_stored(row)


async def patch_user(
    caller: Principal, user_id: ObjectId, kind: PatchKind, patch: Json, expected: Expected | None
) -> User:
    """Change a user by a patch of what `GET` shows.

    Raises:
        NotFound: there is no such user.
        VersionMismatch: the precondition does not hold.
        Forbidden: the patch changes what this caller may not change.
        Invalid: the result is no user, or changes what never changes.
        Restricted, BadReference: an admin gives the user another account, see `move_user`.
    """
    for _ in range(_RACES):
        user = await find_user(user_id)
        if not holds(expected, user.version):
            raise VersionMismatch(current(user_view(user)), absent=wants_absence(expected))
        before = current(user_view(user))
        after = apply_patch(kind, patch, before)
        fields = _changed_fields(caller, before, after)
        if not fields:
            return user
        if "accountId" in fields:
            changed = await move_user(user, fields)
        else:
            changed = await User.change({"_id": user_id}, fields, expected=user.version)
        if changed is not None:
            return changed
    raise Unavailable("other writers of this user were faster")


def _changed_fields(caller: Principal, before: dict[str, Any], after: Json) -> dict[str, Any]:
    if not isinstance(after, dict):
        raise Invalid.field("", "malformed", "a user is an object")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    moves = {"accountId"} if caller.is_admin else set()
    if fixed := sorted((changed & _READ_ONLY) - moves):
        raise Invalid.field(f"/{fixed[0]}", "read_only", f"{fixed[0]} does not change by a patch")
    allowed = _OWNERS if caller.kind == "user" else frozenset(before) - (frozenset() if caller.is_admin else _GRANTED)
    if refused := sorted(changed & before.keys() - allowed):
        _refuse(refused)
    try:
        content = UserContent.model_validate({name: after[name] for name in after if name not in _READ_ONLY - _TOLD})
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    stored = content.model_dump(by_alias=True)
    if "accountId" in changed:
        stored["accountId"] = account_of(after.get("accountId"))
    return {name: stored[name] for name in changed}


def _refuse(names: list[str]) -> None:
    errors = [{"pointer": f"/{name}", "code": "forbidden", "detail": "only an admin changes this"} for name in names]
    raise Forbidden("this caller may not change " + ", ".join(names), errors=errors)


async def delete_user(user_id: ObjectId, expected: Expected | None, by: str, settings: Settings) -> Deletion:
    """Delete a user and all that belongs to them, if the precondition holds at the commit.

    Raises:
        NotFound: there is no such user.
        VersionMismatch: the precondition does not hold; nothing was deleted.
    """
    try:
        return await delete_root(User, user_id, by, settings, expected=expected)
    except NotFound:
        user = await find_user(user_id)
        raise VersionMismatch(current(user_view(user)), absent=wants_absence(expected)) from None


async def log_in(user_id: ObjectId, app_id: str, session_id: str | None, claim: Claim | None) -> Done:
    """lastLogin, an activity and an event in one transaction (seed 002, User Activity Tracking Flow).

    Raises:
        NotFound: there is no such user.
    """

    async def work(session: AsyncClientSession, activity_id: ObjectId) -> None:
        try:
            await User(id=user_id).update_last_login(session=session)
        except LookupError:
            raise NotFound("there is no such user") from None
        activity = ActivityContent(app_id=app_id, event_type="login", session_id=session_id)
        await Activity(id=activity_id, user_id=user_id, **activity.model_dump(by_alias=False)).add(session)
        event = AnalyticsContent(app_id=app_id, event_name="login", event_category="engagement", session_id=session_id)
        await Analytics.create_analytics(event, user_id, session=session)

    return await once(claim, 201, work)
