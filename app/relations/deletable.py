"""How a document of its own is deleted by HTTP: `DELETE` and `…/deletion-plan`, alike for all that
others hang off."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from bson import ObjectId
from fastapi import Depends, Request, Response
from pydantic import BaseModel

from app.identity.access import Access
from app.identity.caller import Caller
from app.relations.plan import collect
from app.relations.receipts import (
    DeletionPlan,
    Receipt,
    Started,
    delete_and_answer,
    deleted,
    plan_view,
)
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers
from app.web.routing import Router
from models.base import Raw, Stored

D = TypeVar("D", bound=Stored)


@dataclass(frozen=True, slots=True)
class Target:
    """The document that a path names, as far as the caller reaches it.

    Attributes:
        id: its `_id`.
        where: what it has to match besides when it goes: its tenant.
    """

    id: ObjectId
    where: Raw | None = None


Find = Callable[..., Awaitable[Target]]
"""A dependency of FastAPI: takes the path's parameters and the caller, lets the caller pass."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is said of one of the two routes, and who may call it.

    Attributes:
        id: in OpenAPI, `deleteAccount`.
        access: who may call it.
        find: what the path names.
        summary: in OpenAPI, and so is `description`.
        shown: an example of the answer.
    """

    id: str
    access: Access
    find: Find
    summary: str
    description: str
    shown: Mapping[str, Any]

    @property
    def declared(self) -> dict[str, Any]:
        """What the route is declared with."""
        said = {"summary": self.summary, "description": self.description}
        return {"access": self.access, "operation_id": self.id, **said}


def deletable(
    router: Router,
    path: str,
    root: type[D],
    view: Callable[[D], BaseModel],
    *,
    job: str,
    delete: Operation,
    plan: Operation | None = None,
) -> None:
    """Register `DELETE path` and `GET path/deletion-plan`.

    Args:
        router: of the domain.
        path: of one document.
        root: its collection.
        view: the document as `GET` sends it.
        job: what a job does after the answer, where there is much.
        delete: what is said of the deletion.
        plan: what is said of its plan, None where it has none.
    """

    async def delete_it(
        target: Annotated[Target, Depends(delete.find)],
        caller: Caller,
        request: Request,
        response: Response,
    ) -> Any:
        return await delete_and_answer(
            root, target.id, caller, request, response, view, target.where
        )

    router.delete(
        path,
        responses=deleted(job, delete.shown),
        response_model=Receipt | Started,
        **delete.declared,
    )(delete_it)
    if plan is not None:
        _plan(router, f"{path}/deletion-plan", root, plan)


def _plan(router: Router, path: str, root: type[Stored], said: Operation) -> None:
    async def deletion_plan(target: Annotated[Target, Depends(said.find)]) -> DeletionPlan:
        return plan_view(target.id, await collect(root, target.id))

    responses = problems() | answers(said.shown)
    router.get(path, responses=responses, **said.declared)(deletion_plan)
