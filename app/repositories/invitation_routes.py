"""Routes of invitations: to the invited, and to the project that invites."""

from functools import partial
from typing import Annotated

from bson import ObjectId
from fastapi import Path, Response

from app.identity.access import SELF, Access
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.repositories.examples import INVITATION_SHOWN, INVITED_SHOWN, PROJECT_SHOWN
from app.repositories.invitations import accept, accepted, decline
from app.repositories.projects import find_project
from app.repositories.schemas import InvitationToMe, OpenInvitation, ProjectView
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, Repeated, write_once
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.aside import read_all
from models.base import Raw, parse_id
from models.invitation import Invitation
from models.living import only_living
from models.project import Project

router = Router(prefix="/v1", tags=["Projects"])
ProjectId = Annotated[str, Path(description="Of the project that invites.")]


@router.get(
    "/users/me/invitations",
    access=SELF,
    operation_id="listMyInvitations",
    summary="List the invitations that I may accept",
    responses=problems() | page_of(INVITATION_SHOWN),
)
async def list_mine(
    caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[InvitationToMe]:
    """The newest first. An invitation opens nothing until it is accepted, and is over after 30
    days."""
    authorize(caller, "users:read", user_id=caller.id)
    rows, following = await newest(Invitation, Invitation.open_to(caller.id), limit, cursor)
    living = await only_living(Invitation, rows)
    projects = await Project.fetch({row["projectId"] for row in living}, fields=["name"])
    views = [
        _to_me(row, projects[row["projectId"]]) for row in living if row["projectId"] in projects
    ]
    return Page(items=views, next_cursor=following)


def _to_me(row: Raw, project: Raw) -> InvitationToMe:
    return InvitationToMe(
        project_id=row["projectId"],
        project_name=project["name"],
        role=row["role"],
        created_at=row["createdAt"],
        expires_at=row["expiresAt"],
    )


@router.post(
    "/users/me/invitations/{projectId}/accept",
    access=SELF,
    operation_id="acceptInvitation",
    summary="Accept an invitation into a project",
    responses=problems(409) | answers(PROJECT_SHOWN),
)
async def accept_mine(
    projectId: ProjectId, caller: Caller, claim: IdempotencyClaim, response: Response
) -> ProjectView:
    """The project, whose member the caller is from now on; a repeat is answered alike."""
    authorize(caller, "users:write", user_id=caller.id)
    project_id = parse_id(projectId)

    async def again(_: Repeated) -> Project:
        return await accepted(caller.id, project_id)

    project = await write_once(claim, partial(accept, caller.id, project_id), again)
    response.headers["ETag"] = etag(project.version, project.id)
    return ProjectView.model_validate(project)


@router.delete(
    "/users/me/invitations/{projectId}",
    access=SELF,
    status_code=204,
    operation_id="declineInvitation",
    summary="Decline an invitation into a project",
    responses=problems(),
)
async def decline_mine(projectId: ProjectId, caller: Caller, claim: IdempotencyClaim) -> None:
    """The project is not told whether it was declined or was over."""
    authorize(caller, "users:write", user_id=caller.id)

    async def again(_: Repeated) -> None:
        return None

    work = partial(decline, caller.id, parse_id(projectId))
    await write_once(claim, work, again, lambda _: 204)


@router.get(
    "/projects/{projectId}/invitations",
    access=Access("projects:read", owner=True, people="the project's admins"),
    operation_id="listInvitations",
    summary="List whom a project has invited",
    responses=problems() | page_of(INVITED_SHOWN),
)
async def list_of_project(
    projectId: str, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[OpenInvitation]:
    """The newest first; for the project's admins. `DELETE …/members/{userId}` takes one back."""
    project = await find_project(caller, "projects:read", parse_id(projectId), write=True)
    rows, following = await newest(
        Invitation, Invitation.open_in(ObjectId(project.id)), limit, cursor
    )
    views = [OpenInvitation.model_validate(each) for each in read_all(Invitation, rows)]
    return Page(items=views, next_cursor=following)
