"""The rules of invitations: who is asked into a project and who is put there, accepting, declining,
withdrawing."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import joined, transaction
from app.errors import Invalid, NotFound, ResultGone
from app.identity.principal import Principal
from app.identity.standing import touch
from app.relations.guards import check_references
from app.repositories.projects import NotMember, add_member, put_member
from app.web.routing import GONE
from models.base import now
from models.invitation import Invitation
from models.ledger_note import LedgerNote
from models.living import is_living
from models.project import Member, Project, ProjectRole
from models.user import User

_GOOD_FOR: Final = timedelta(days=30)
_MOST_OPEN: Final = 1000
_GONE: Final = "there is no such invitation"


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of giving a user a role: a project with its members, or an invitation.

    Attributes:
        project: as it is now.
        new: whether the user is new to it.
        invitation: where they are asked first.
    """

    project: Project
    new: bool = False
    invitation: Invitation | None = None

    @property
    def status(self) -> int:
        """That it is answered with."""
        return 202 if self.invitation is not None else 201 if self.new else 200


async def place_member(
    caller: Principal, project: Project, user_id: ObjectId, role: ProjectRole
) -> Placed:
    """Give a user a role: at once where they are a member, of the caller's account, or a key or an
    admin says so.

    Everybody else is invited, and so is an id that nobody has: the two are answered alike.

    Raises:
        Restricted: the project would be without an admin.
        Invalid: the project has as many members or invitations as it may.
        NotFound: a key or an admin names a user who is not there, or the project went meanwhile.
    """
    if caller.kind == "key" or caller.is_admin or await _are_colleagues(caller.id, user_id):
        return Placed(*await put_member(project, user_id, role))
    if project.role_of(user_id) is not None:
        with suppress(NotMember):  # who has left meanwhile is invited like anybody else
            return Placed(*await put_member(project, user_id, role, only_members=True))
    return Placed(project, invitation=await _invite(ObjectId(project.id), user_id, role))


async def accepted(user_id: ObjectId, project_id: ObjectId | None) -> Project:
    """The project that was joined by an earlier request.

    Raises:
        ResultGone: it is not there any more, or the user is not in it.
    """
    found = await Project.find_by_id(project_id) if project_id is not None else None
    if found is None or found.role_of(user_id) is None:
        raise ResultGone(GONE)
    return found


async def find_offer(project: Project, user_id: ObjectId) -> Invitation:
    """What a project offers an id.

    Raises:
        NotFound: nothing (any more).
    """
    found = await Invitation.find_open(ObjectId(project.id), user_id)
    if found is None:
        raise NotFound(_GONE)
    return found


async def _are_colleagues(one: ObjectId, other: ObjectId) -> bool:
    """Whether two users are of one account, and stay so until the transaction that this runs within
    is over."""
    row = await touch(User, {"_id": one}, joined(), {"accountId": 1})
    if row is None or row.get("accountId") is None:
        return False
    return (
        await touch(User, {"_id": other, "accountId": row["accountId"]}, joined(), {"_id": 1})
        is not None
    )


async def _invite(project_id: ObjectId, user_id: ObjectId, role: ProjectRole) -> Invitation:
    async def work(session: AsyncClientSession) -> Invitation:
        invitation = {"_id": ObjectId(), "projectId": project_id, "userId": user_id}
        await check_references(Invitation, invitation, session, only={"projectId"})
        try:
            await check_references(Invitation, invitation, session, only={"userId"})
            there: ObjectId | None = user_id
        except NotFound:
            there = None
        until = now() + _GOOD_FOR
        offered = await Invitation.offer(project_id, user_id, there, role, until, session=session)
        if await Invitation.count_of(project_id, session=session) > _MOST_OPEN:
            raise Invalid(f"a project has at most {_MOST_OPEN:,} open invitations")
        return offered

    return await transaction(work)


async def accept(user_id: ObjectId, project_id: ObjectId | None) -> Project:
    """Become a member by an invitation, which is used up; who is a member already stays what they
    are.

    Raises:
        NotFound: nothing is offered (any more).
        Restricted: the project has no admin, and would have none.
        Invalid: the project has as many members as it may.
    """

    async def work(session: AsyncClientSession) -> Project:
        project = await Project.find_by_id(project_id, session)
        if project is None or not await is_living(Project, project.stored(), session=session):
            raise NotFound(_GONE)
        if project.role_of(user_id) is not None:
            return project
        invitation = await Invitation.take(ObjectId(project.id), user_id, session=session)
        if invitation is None:
            raise NotFound(_GONE)
        member = Member(user_id=PydanticObjectId(user_id), role=invitation.role)
        return await add_member(project, member, session)

    return await transaction(work)


async def decline(user_id: ObjectId, project_id: ObjectId | None) -> Invitation:
    """Turn an invitation down; what it offered.

    Raises:
        NotFound: nothing is offered (any more).
    """

    async def work(session: AsyncClientSession) -> Invitation | None:
        if project_id is None:
            return None
        gone = await Invitation.take(project_id, user_id, session=session)
        if gone is not None:
            await LedgerNote.take("invitation", gone, session)
        return gone

    declined = await transaction(work)
    if declined is None:
        raise NotFound(_GONE)
    return declined
