"""Routes of projects and their members."""

from functools import partial
from typing import Annotated, Any

from bson import ObjectId
from fastapi import Response

from app.errors import NotFound
from app.identity.access import PROJECT_ADMINS, PROJECT_MEMBERS, Access
from app.identity.caller import Caller
from app.identity.principal import Principal
from app.relations.deletable import Operation, Target, deletable
from app.repositories.examples import MEMBER, MEMBER_SHOWN, PROJECT, PROJECT_SHOWN
from app.repositories.invitations import Placed, find_offer, place_member
from app.repositories.projects import (
    authorize_projects,
    create_project,
    find_project,
    patch_project,
    remove_member,
    write_as_admin,
)
from app.repositories.schemas import (
    NewProject,
    OpenInvitation,
    ProjectChange,
    ProjectView,
    RoleInProject,
)
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, Repeated, write_once
from app.web.openapi.answers import problems
from app.web.openapi.examples import PLAN_SHOWN, RECEIPT_SHOWN, answers, page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.aside import read_all
from models.base import parse_id
from models.living import only_living
from models.project import Member, Project

router = Router(prefix="/v1/projects", tags=["Projects"])


@router.post(
    "",
    access=Access("projects:write", owner=True, people="users, who become the project's admin"),
    status_code=201,
    operation_id="createProject",
    summary="Create a project",
    responses=problems(400, 409),
)
async def create(
    content: Annotated[NewProject, PROJECT],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> ProjectView:
    """A user who makes one becomes its admin."""
    authorize_projects(caller, "projects:write")
    done = await create_project(caller, content, claim)
    project = await find_project(caller, "projects:write", done.resource_id)
    response.headers["Location"] = f"/v1/projects/{project.id}"
    response.headers["ETag"] = etag(project.version, project.id)
    return ProjectView.model_validate(project)


@router.get(
    "",
    access=PROJECT_MEMBERS,
    operation_id="listProjects",
    summary="List projects",
    responses=problems() | page_of(PROJECT_SHOWN),
)
async def list_projects(
    caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[ProjectView]:
    """The newest first; for users who are no admins, those that they are members of."""
    authorize_projects(caller, "projects:read")
    where = {"members.userId": caller.id} if caller.kind == "user" and not caller.is_admin else {}
    rows, following = await newest(Project, where, limit, cursor)
    living = await only_living(Project, rows)
    return Page(
        items=[ProjectView.model_validate(each) for each in read_all(Project, living)],
        next_cursor=following,
    )


@readable(
    router,
    "/{projectId}",
    ProjectView,
    access=PROJECT_MEMBERS,
    operation_id="getProject",
    summary="Get a project",
    shown=PROJECT_SHOWN,
)
async def _get(projectId: str, caller: Caller) -> Shown:
    """With its members."""
    project = await find_project(caller, "projects:read", parse_id(projectId))
    return Shown(ProjectView.model_validate(project), project.version)


@changeable(
    router,
    "/{projectId}",
    ProjectView,
    ProjectView.model_validate,
    access=PROJECT_ADMINS,
    operation_id="patchProject",
    summary="Change a project",
    patches=patches(
        ProjectChange, {"name": "Notes 2"}, [{"op": "replace", "path": "/name", "value": "Notes 2"}]
    ),
    responses=answers(PROJECT_SHOWN),
)
async def _patch(projectId: str, caller: Caller) -> Change:
    """Its name; for the project's admins."""
    project = await find_project(caller, "projects:write", parse_id(projectId), write=True)
    return by_patch(partial(patch_project, project))


async def _to_delete(projectId: str, caller: Caller) -> Target:
    found = await find_project(caller, "projects:write", parse_id(projectId), write=True)
    return Target(ObjectId(found.id))


async def _to_plan(projectId: str, caller: Caller) -> Target:
    found = await find_project(caller, "projects:read", parse_id(projectId))
    return Target(ObjectId(found.id))


deletable(
    router,
    "/{projectId}",
    Project,
    ProjectView.model_validate,
    job="sweeps what belonged to it",
    delete=Operation(
        "deleteProject",
        PROJECT_ADMINS,
        _to_delete,
        "Delete a project, its repository connection and events",
        "For the project's admins. Token and secrets go with it; the webhook is removed by a job.",
        RECEIPT_SHOWN,
    ),
    plan=Operation(
        "planProjectDeletion",
        PROJECT_MEMBERS,
        _to_plan,
        "What deleting a project would do",
        "Counts per collection of what would go.",
        PLAN_SHOWN,
    ),
)


@router.get(
    "/{projectId}/members/{userId}",
    access=PROJECT_MEMBERS,
    operation_id="getMember",
    summary="Get a member of a project",
    responses=problems() | answers(MEMBER_SHOWN),
)
async def get_member(projectId: str, userId: str, caller: Caller) -> Member:
    """A user's role in the project."""
    project = await find_project(caller, "projects:read", parse_id(projectId))
    return _member(project, caller.resolve(userId))


@router.put(
    "/{projectId}/members/{userId}",
    access=PROJECT_ADMINS,
    operation_id="putMember",
    summary="Invite somebody into a project, or change a role",
    responses=problems(409)
    | {
        201: {"description": "The user is new to the project", "model": Member},
        202: {
            "description": "Invited: they are a member once they accept",
            "model": OpenInvitation,
        },
    },
    response_model=Member | OpenInvitation,
)
async def put(
    projectId: str,
    userId: str,
    content: Annotated[RoleInProject, MEMBER],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> Any:
    """For the project's admins. A project keeps at least one of them.

    API keys and admins make somebody a member at once, and so do users of the same account. Anybody
    else is invited (202), and whether the id is anybody's makes no difference. An invitation is
    good for 30 days, renewed by a repeat.
    """
    project = await find_project(caller, "projects:write", parse_id(projectId), write=True)
    user_id = caller.resolve(userId)

    async def again(done: Repeated) -> Placed:
        return Placed(
            project,
            done.status == 201,
            await find_offer(project, user_id) if done.status == 202 else None,
        )

    work = partial(place_member, caller, project, user_id, content.role)
    placed = await write_once(claim, work, again, lambda made: made.status)
    response.status_code = placed.status
    if placed.invitation is not None:
        return OpenInvitation.model_validate(placed.invitation)
    return _member(placed.project, user_id)


def _member(project: Project, user_id: ObjectId) -> Member:
    for member in project.members:
        if member.user_id == user_id:
            return member
    raise NotFound("there is no such member")


@router.delete(
    "/{projectId}/members/{userId}",
    access=PROJECT_ADMINS,
    status_code=204,
    operation_id="deleteMember",
    summary="Take a member out of a project, or an invitation back",
    responses=problems(409),
)
async def delete_member(
    projectId: str, userId: str, caller: Caller, claim: IdempotencyClaim
) -> None:
    """For the project's admins, and for members who leave."""
    project = await find_project(caller, "projects:write", parse_id(projectId))
    user_id = caller.resolve(userId)
    if not _leaves(caller, user_id):
        write_as_admin(caller, project)

    async def again(_: Repeated) -> Project:
        return project

    await write_once(claim, partial(remove_member, project, user_id), again, lambda _: 204)


def _leaves(caller: Principal, user_id: ObjectId) -> bool:
    return caller.kind == "user" and caller.id == user_id
