"""How one document is read and changed by HTTP: `GET` with an ETag, and `PATCH`, alike for all that
have a version.

Each registers a route for a function that takes the path's parameters and the caller, and lets the
caller pass: what it gives, and its docstring, are all that differs.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from app.identity.access import Access
from app.web.etags import etag
from app.web.idempotency import Claim, IdempotencyClaim, patch_once
from app.web.openapi.answers import NOT_MODIFIED, PATCHED, problems
from app.web.openapi.examples import answers
from app.web.patches import PatchKind
from app.web.preconditions import conditional
from app.web.routing import Router
from models.precondition import Expected
from models.values import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as its caller may see it.

    Attributes:
        view: as it is sent.
        version: of the document.
        kind: of the representation, where callers see different ones.
        changed: when it last was, where it does not show `updatedAt`.
        is_whole: whether it is one document; with another one in it there is no ETag.
    """

    view: Any
    version: int
    kind: str = ""
    changed: datetime | None = None
    is_whole: bool = True


Find = Callable[..., Awaitable[Shown]]


def readable(
    router: Router,
    path: str,
    view: Any,
    *,
    access: Access,
    operation_id: str,
    summary: str,
    shown: Any,
    refused: tuple[int, ...] = (),
    **declared: Any,
) -> Callable[[Find], Find]:
    """Register `GET path` for a function that finds what is shown.

    Args:
        router: of the domain.
        path: of one document.
        view: as which it is sent.
        access: who may call it.
        operation_id: in OpenAPI, and so is `summary`.
        summary: what it does.
        shown: an example of the answer.
        refused: statuses of problems besides those of all.
        declared: what else the route is declared with.
    """

    def register(find: Find) -> Find:
        async def get(
            found: Annotated[Shown, Depends(find)], request: Request, response: Response
        ) -> Any:
            if not found.is_whole:
                return found.view
            return conditional(
                request, response, found.version, found.view, found.kind, found.changed
            )

        router.get(
            path,
            access=access,
            operation_id=operation_id,
            summary=summary,
            description=inspect.getdoc(find),
            responses=problems(*refused) | NOT_MODIFIED | answers(shown),
            response_model=view,
            **declared,
        )(get)
        return find

    return register


Change = Callable[[Claim | None, Request], Awaitable[Any]]
"""Applies a request's patch at most once for its claim; gives the document, with `id` and
`version`."""
Reach = Callable[..., Awaitable[Change]]


def by_patch(work: Callable[[PatchKind, Json, Expected | None], Awaitable[Any]]) -> Change:
    """A change whose writes join one transaction, as of `patch_once`."""

    async def change(claim: Claim | None, request: Request) -> Any:
        return await patch_once(claim, request, work)

    return change


def changeable(
    router: Router,
    path: str,
    view: Any,
    show: Callable[[Any], BaseModel] | None = None,
    *,
    access: Access,
    operation_id: str,
    summary: str,
    patches: dict[str, Any],
    responses: dict[int | str, dict[str, Any]] | None = None,
) -> Callable[[Reach], Reach]:
    """Register `PATCH path` for a function that says how its document is changed.

    Args:
        router: of the domain.
        path: of one document.
        view: as which it is sent.
        show: makes it of what the change gives; None where that is the view.
        access: who may call it.
        operation_id: in OpenAPI, and so is `summary`.
        summary: what it does.
        patches: what is said of the body.
        responses: what is said of the answers besides what is said of all.
    """

    def register(reach: Reach) -> Reach:
        async def patch(
            claim: IdempotencyClaim,
            change: Annotated[Change, Depends(reach)],
            request: Request,
            response: Response,
        ) -> Any:
            changed = await change(claim, request)
            response.headers["ETag"] = etag(changed.version, changed.id)
            return changed if show is None else show(changed)

        router.patch(
            path,
            access=access,
            operation_id=operation_id,
            summary=summary,
            description=inspect.getdoc(reach),
            responses=PATCHED | (responses or {}),
            response_model=view,
            openapi_extra=patches,
        )(patch)
        return reach

    return register
