"""Routes of what is one to one with a user: `/profile` and `/preferences`, made alike."""

from functools import partial
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.params import Body

from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.users.belongings import PREFERENCES, PROFILE, Belonging
from app.users.examples import (
    PREFERENCES_CHANGES,
    PREFERENCES_EXAMPLE,
    PREFERENCES_SHOWN,
    PROFILE_CHANGES,
    PROFILE_EXAMPLE,
    PROFILE_SHOWN,
)
from app.users.schemas import UserView
from app.users.service import expand_user
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, patch_once, write_once
from app.web.openapi.answers import NOT_MODIFIED, PATCHED, Expand, problems
from app.web.openapi.examples import answers
from app.web.openapi.patch_bodies import patches
from app.web.preconditions import conditional, request_precondition
from app.web.routing import Router

router = Router(prefix="/v1/users/{userId}", tags=["Users"])


def _routes(
    name: str,
    belonging: Belonging[Any, Any],
    example: Body,
    shown: dict[str, Any],
    changes: tuple[Any, Any],
) -> None:
    """`GET`, `PUT` and `PATCH` of one kind of document."""
    title, path = name.capitalize(), f"/{name}"
    content_type: Any = Annotated[belonging.replacement, example]
    view_type: Any = belonging.view

    async def get(
        userId: str,
        caller: Caller,
        request: Request,
        response: Response,
        expand: Expand = None,
    ) -> Any:
        user_id = caller.resolve(userId)
        authorize(caller, "users:read", user_id=user_id)
        loader = request.app.state.belongings[belonging.document]
        view = await belonging.find(user_id, loader)
        if expand:
            return view.model_copy(
                update={"user": UserView.model_validate(await expand_user(user_id))}
            )
        return conditional(request, response, view.version, view)

    async def put(
        userId: str,
        content: content_type,
        caller: Caller,
        claim: IdempotencyClaim,
        request: Request,
        response: Response,
    ) -> Any:
        user_id = caller.resolve(userId)
        authorize(caller, "users:write", user_id=user_id)
        work = partial(belonging.put, user_id, content, request_precondition(request))
        view = await write_once(claim, work, lambda _: belonging.find(user_id))
        response.headers["ETag"] = etag(view.version, view.id)
        return view

    async def patch(
        userId: str, caller: Caller, claim: IdempotencyClaim, request: Request, response: Response
    ) -> Any:
        user_id = caller.resolve(userId)
        authorize(caller, "users:write", user_id=user_id)
        view = await patch_once(claim, request, partial(belonging.patch, user_id))
        response.headers["ETag"] = etag(view.version, view.id)
        return view

    router.get(
        path,
        access=owner_or("users:read"),
        response_model=view_type,
        operation_id=f"get{title}",
        summary=f"Get a user's {name}",
        description="With its ETag; 304 where the client has this version.",
        responses=problems() | NOT_MODIFIED | answers(shown),
    )(get)
    router.put(
        path,
        access=owner_or("users:write"),
        response_model=view_type,
        operation_id=f"put{title}",
        summary=f"Replace a user's {name}",
        description=(
            "What is left out goes back to its default. Read-only fields may be sent as they were"
            " shown."
        ),
        responses=problems(412),
    )(put)
    router.patch(
        path,
        access=owner_or("users:write"),
        response_model=view_type,
        operation_id=f"patch{title}",
        summary=f"Change a user's {name}",
        description="By JSON Merge Patch or JSON Patch.",
        responses=PATCHED,
        openapi_extra=patches(belonging.content, *changes),
    )(patch)


_routes("profile", PROFILE, PROFILE_EXAMPLE, PROFILE_SHOWN, PROFILE_CHANGES)
_routes("preferences", PREFERENCES, PREFERENCES_EXAMPLE, PREFERENCES_SHOWN, PREFERENCES_CHANGES)
