"""The rules of projects: who reaches one, who changes it, who its members are."""

from functools import partial
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import joined, transaction
from app.database.rights import hold
from app.database.turns import turn
from app.errors import BadReference, Forbidden, Invalid, NotFound, Restricted
from app.identity.principal import Principal, authorize
from app.identity.standing import touch
from app.relations.guards import check_references
from app.repositories.schemas import NewProject, ProjectChange, ProjectView
from app.shown.documents import current
from app.web.idempotency import Claim, Done, once
from app.web.patches import PatchKind, patched
from app.web.preconditions import require
from models.base import Overtaken, Raw
from models.invitation import Invitation
from models.ledger_note import LedgerNote, taken
from models.living import is_living
from models.precondition import Expected
from models.project import Member, Project, ProjectRole
from models.user import User
from models.values import Json

_MOST_MEMBERS: Final = 1000
_GONE: Final = "there is no such project"
_FOR_ADMINS: Final = "this is for the project's admins"


def authorize_projects(caller: Principal, scope: str) -> None:
    """Let the caller pass to projects as such: keys with the scope, users for their own, admins for
    all.

    Raises:
        Forbidden: the key lacks the scope, or the token is bound to an app.
    """
    if caller.kind == "key":
        authorize(caller, scope)
    elif caller.app_id is not None:
        raise Forbidden("this token is bound to one app and does not reach projects")


async def find_project(
    caller: Principal, scope: str, project_id: ObjectId | None, *, write: bool = False
) -> Project:
    """A project that the caller may read, or change: members read, its admins write, keys by their
    scope, admins all.

    Whoever writes as the project's admin is to be that in the transaction of the write, too.

    Raises:
        Forbidden: the caller lacks the scope, or is a member who may only read.
        NotFound: there is none, or the caller is no member.
    """
    authorize_projects(caller, scope)
    project = await Project.find_by_id(project_id)
    if project is None or not await is_living(
        Project, {"_id": project.id, "accountId": project.account_id}
    ):
        raise NotFound(_GONE)
    if caller.kind == "user" and not caller.is_admin:
        role = project.role_of(caller.id)
        if role is None:
            raise NotFound(_GONE)
        if write:
            write_as_admin(caller, project)
    return project


def write_as_admin(caller: Principal, project: Project) -> None:
    """Let the caller write as one of the project's admins, and only as long as they are one.

    Raises:
        Forbidden: they are none.
    """
    if caller.kind == "key" or caller.is_admin:
        return
    if project.role_of(caller.id) != "admin":
        raise Forbidden(_FOR_ADMINS)
    hold(("project", project.id, caller.id), partial(_stays_admin, ObjectId(project.id), caller.id))


async def _stays_admin(
    project_id: ObjectId, user_id: ObjectId, session: AsyncClientSession
) -> None:
    where = {"_id": project_id, "members": {"$elemMatch": {"userId": user_id, "role": "admin"}}}
    if await touch(Project, where, session, {"_id": 1}) is not None:
        return
    project = await Project.find_by_id(project_id, session)
    if project is None or project.role_of(user_id) is None:
        raise NotFound(_GONE)
    raise Forbidden(_FOR_ADMINS)


async def create_project(caller: Principal, content: NewProject, claim: Claim | None) -> Done:
    """Make a project; a user who does becomes its first admin.

    Raises:
        BadReference: the account is not there, takes no projects, or is not the user's own.
    """
    account_id = content.account_id
    members = (
        [Member(user_id=PydanticObjectId(caller.id), role="admin")] if caller.kind == "user" else []
    )

    async def work(session: AsyncClientSession, project_id: ObjectId) -> None:
        project = Project(
            id=PydanticObjectId(project_id),
            name=content.name,
            account_id=account_id,
            members=members,
        )
        await check_references(Project, project.stored(), session)
        if account_id is not None and caller.kind == "user" and not caller.is_admin:
            await _check_account(caller.id, account_id, session)
        await project.add(session)

    return await once(claim, 201, work)


async def _check_account(
    user_id: ObjectId, account_id: ObjectId, session: AsyncClientSession
) -> None:
    if await touch(User, {"_id": user_id, "accountId": account_id}, session, {"_id": 1}) is None:
        raise BadReference("There is no such active account", "accountId")


async def patch_project(
    project: Project, kind: PatchKind, patch: Json, expected: Expected | None
) -> Project:
    """Change a project's name by a patch of what `GET` shows.

    Raises:
        VersionMismatch: the precondition does not hold.
        Invalid: the result is not acceptable.
        NotFound: it went meanwhile.
    """
    async with turn(Project, project.id) as patience:
        while True:
            before = current(ProjectView.model_validate(project))
            require(expected, before)
            _, fields = patched(before, kind, patch, ProjectChange)
            if not fields:
                return project
            changed = await Project.change(
                {"_id": project.id}, fields, expected=project.version, session=joined()
            )
            if changed is not None:
                return changed
            project = await _again(project)
            await patience.again()


class NotMember(Exception):
    """Whose role was to change is no member (any more)."""


async def put_member(
    project: Project, user_id: ObjectId, role: ProjectRole, *, only_members: bool = False
) -> tuple[Project, bool]:
    """Give a user a role in a project; where `only_members`, one who is in it at that moment.

    Returns:
        The project, and whether the user is new to it.

    Raises:
        Restricted: the project would be without an admin.
        NotFound: there is no such user, or the project went meanwhile.
        NotMember: only members were meant, and they are none.
    """
    async with turn(Project, project.id) as patience:
        while True:
            before = project.role_of(user_id)
            if before is None and only_members:
                raise NotMember
            if before == role:
                return project, False
            member = Member(user_id=PydanticObjectId(user_id), role=role)
            members = [member if each.user_id == user_id else each for each in project.members]
            members += [] if before else [member]
            _check_members(members)
            changed = await _set_members(project, members, None if before else user_id)
            if changed is not None:
                return changed, before is None
            project = await _again(project)
            await patience.again()


async def remove_member(project: Project, user_id: ObjectId) -> Project:
    """Take a user out of a project, or take an invitation back; the project as it is then.

    Raises:
        Restricted: the project would be without an admin.
        NotFound: the user is no member, and the id is not invited.
    """
    async with turn(Project, project.id) as patience:
        while True:
            if project.role_of(user_id) is None:
                if await withdraw(ObjectId(project.id), user_id):
                    return project
                raise NotFound("there is no such member")
            members = [each for each in project.members if each.user_id != user_id]
            _check_members(members)
            changed = await _set_members(project, members, None)
            if changed is not None:
                return changed
            project = await _again(project)
            await patience.again()


async def withdraw(project_id: ObjectId, invited: ObjectId) -> Invitation | None:
    """Offer an id nothing any more; what was offered."""

    async def work(session: AsyncClientSession) -> Invitation | None:
        gone = await Invitation.withdraw(project_id, invited, session=session)
        if gone is not None:
            await LedgerNote.take("invitation", gone, session)
        return gone

    return await transaction(work)


def _check_members(members: list[Member]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise Invalid(f"a project has at most {_MOST_MEMBERS} members")
    if not any(member.role == "admin" for member in members):
        raise Restricted(
            "a project keeps at least one admin: delete it, or make another member admin first"
        )


async def add_member(project: Project, member: Member, session: AsyncClientSession) -> Project:
    """Add a member to a project that was read in this transaction.

    Raises:
        Restricted, Invalid: as `put_member`.
        Overtaken: the project has changed meanwhile.
    """
    members = [*project.members, member]
    _check_members(members)
    await check_references(
        Project, {"_id": project.id, "members": [{"userId": member.user_id}]}, session
    )
    rows = [each.model_dump(by_alias=True) for each in members]
    changed = await Project.change(
        {"_id": project.id}, {"members": rows}, expected=project.version, session=session
    )
    if changed is None:
        raise Overtaken
    return changed


async def _set_members(
    project: Project, members: list[Member], new: ObjectId | None
) -> Project | None:
    """Set the members if the version is still the same; None where it is not. Who is new is invited
    no longer."""
    rows = [member.model_dump(by_alias=True) for member in members]

    async def work(session: AsyncClientSession) -> Project | None:
        if new is not None:
            row = {"_id": project.id, "members": [{"userId": new}]}
            await check_references(Project, row, session)
            await Invitation.withdraw(ObjectId(project.id), new, session=session)
        changed = await Project.change(
            {"_id": project.id}, {"members": rows}, expected=project.version, session=session
        )
        if changed is not None:
            await LedgerNote.enter(_taken(project, changed), session)
        return changed

    return await transaction(work)


def _taken(before: Project, after: Project) -> list[Raw]:
    """The notes of the members who are none any more, or no admins."""
    return [
        taken("member", after.id, after.version, who=each.user_id, role=role or "none")
        for each in before.members
        if (role := after.role_of(each.user_id)) != each.role
        and (role is None or each.role == "admin")
    ]


async def _again(project: Project) -> Project:
    found = await Project.find_by_id(ObjectId(project.id), joined())
    if found is None:
        raise NotFound(_GONE)
    return found
