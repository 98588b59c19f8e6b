"""Routes of what is one to one with a user: `/profile` and `/preferences`, made alike."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Request, Response
from fastapi.params import Body

from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.shown.documents import UserView
from app.users.belongings import PREFERENCES, PROFILE, Belonging
from app.users.examples import (
    PREFERENCES_CHANGES,
    PREFERENCES_EXAMPLE,
    PREFERENCES_SHOWN,
    PROFILE_CHANGES,
    PROFILE_EXAMPLE,
    PROFILE_SHOWN,
)
from app.users.service import expand_user
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, write_once
from app.web.openapi.answers import Expand, problems
from app.web.openapi.patch_bodies import patches
from app.web.preconditions import request_precondition
from app.web.routing import Router

router = Router(prefix="/v1/users/{userId}", tags=["Users"])
_REPLACED: Final = (
    "What is left out goes back to its default. Read-only fields may be sent as they were shown."
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of document, and what is said of its routes.

    Attributes:
        name: in the path.
        belonging: what it is.
        example: of a replacement.
        shown: of an answer.
        changes: examples of both kinds of patch.
    """

    name: str
    belonging: Belonging[Any, Any]
    example: Body
    shown: dict[str, Any]
    changes: tuple[Any, Any]

    @property
    def title(self) -> str:
        """In the names of operations."""
        return self.name.capitalize()

    @property
    def path(self) -> str:
        """Below the user."""
        return f"/{self.name}"


def _get(kind: _Kind) -> None:
    @readable(
        router,
        kind.path,
        kind.belonging.view,
        access=owner_or("users:read"),
        operation_id=f"get{kind.title}",
        summary=f"Get a user's {kind.name}",
        shown=kind.shown,
    )
    async def get(userId: str, caller: Caller, request: Request, expand: Expand = None) -> Shown:
        """With its ETag; 304 where the client has this version."""
        user_id = caller.resolve(userId)
        authorize(caller, "users:read", user_id=user_id)
        loader = request.app.state.belongings[kind.belonging.document]
        view = await kind.belonging.find(user_id, loader)
        if not expand:
            return Shown(view, view.version)
        user = UserView.model_validate(await expand_user(user_id))
        return Shown(view.model_copy(update={"user": user}), view.version, is_whole=False)


def _put(kind: _Kind) -> None:
    content_type: Any = Annotated[kind.belonging.replacement, kind.example]
    view_type: Any = kind.belonging.view

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
        work = partial(kind.belonging.put, user_id, content, request_precondition(request))
        view = await write_once(claim, work, lambda _: kind.belonging.find(user_id))
        response.headers["ETag"] = etag(view.version, view.id)
        return view

    router.put(
        kind.path,
        access=owner_or("users:write"),
        response_model=view_type,
        operation_id=f"put{kind.title}",
        summary=f"Replace a user's {kind.name}",
        description=_REPLACED,
        responses=problems(412),
    )(put)


def _patch(kind: _Kind) -> None:
    @changeable(
        router,
        kind.path,
        kind.belonging.view,
        access=owner_or("users:write"),
        operation_id=f"patch{kind.title}",
        summary=f"Change a user's {kind.name}",
        patches=patches(kind.belonging.content, *kind.changes),
    )
    async def patch(userId: str, caller: Caller) -> Change:
        """By JSON Merge Patch or JSON Patch."""
        user_id = caller.resolve(userId)
        authorize(caller, "users:write", user_id=user_id)
        return by_patch(partial(kind.belonging.patch, user_id))


for _kind in (
    _Kind("profile", PROFILE, PROFILE_EXAMPLE, PROFILE_SHOWN, PROFILE_CHANGES),
    _Kind("preferences", PREFERENCES, PREFERENCES_EXAMPLE, PREFERENCES_SHOWN, PREFERENCES_CHANGES),
):
    _get(_kind)
    _put(_kind)
    _patch(_kind)
