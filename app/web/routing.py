"""How every route of ours reads a request: its caller first, then a strict query and a strict
body."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.database.rights import collecting
from app.errors import NotFound, Problem, ResultGone
from app.identity.access import Access, in_force
from app.identity.caller import asks_for_caller, authenticate
from app.web.body import parse_json, refuse_packed
from app.web.cursors import bind_cursors
from app.web.validation.queries import check_encoding, check_query, query_names
from app.web.validation.spellings import check_spellings, spellings

_JSON_TYPE: Final = (b"content-type", b"application/json")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
REPEATS: Final = "satchel.repeats"
"""In a request's scope: whether it repeats, by its Idempotency-Key, one that was done."""
GONE: Final = (
    "an earlier request with this Idempotency-Key was done, and what it wrote is not there any more"
)


class StrictRequest(Request):
    """A request whose JSON is parsed by `parse_json`."""

    async def json(self) -> Any:
        """The body's value; raises the problems of `parse_json`."""
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that takes JSON whatever its Content-Type says, by `parse_json`, and no query
    parameter that it does not
    declare, or twice: `Router` is made with it. A subclass with `any_query = True` takes any
        parameter.

    The caller is asked for before the body is read: FastAPI by itself reads and parses whatever
    anybody sends.
    """

    any_query: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a `StrictRequest`."""
        handler = super().get_route_handler()
        takes_json = self.body_field is not None
        names, lists = query_names(self.dependant)
        spelled = spellings(self.dependant)
        known = None if self.any_query else names
        is_list = "cursor" in names
        has_caller = asks_for_caller(self.dependant)

        async def strict(request: Request) -> Response:
            with collecting():
                return await answer(request)

        async def answer(request: Request) -> Response:
            scope = request.scope
            if (
                takes_json
            ):  # `curl -d` calls everything a form, and many a client sends no type at all
                scope["headers"] = [
                    *(pair for pair in scope["headers"] if pair[0] != b"content-type"),
                    _JSON_TYPE,
                ]
            if has_caller:
                await authenticate(scope)
            check_encoding(scope["query_string"])
            if known is not None and scope["query_string"]:
                check_query((name for name, _ in request.query_params.multi_items()), known, lists)
            if spelled:
                check_spellings(
                    spelled, (*request.path_params.items(), *request.query_params.multi_items())
                )
            if request.method in _WITH_BODY:
                refuse_packed(request.headers.get("content-encoding"))
            if is_list:
                bind_cursors(scope, request.query_params.multi_items())
            try:
                return await handler(StrictRequest(scope, request.receive))
            except ClientDisconnect:
                return Response()  # to nobody
            except NotFound:
                if scope.get(REPEATS):
                    raise ResultGone(GONE) from None
                raise
            except HTTPException as error:  # FastAPI makes a 400 of whatever a body's parser raises
                if isinstance(error.__cause__, Problem):
                    raise error.__cause__ from None
                if isinstance(error.__cause__, ClientDisconnect):
                    return Response()  # to nobody
                raise

        return strict


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Router(APIRouter):
    """Routes that read strictly, each declared with who may call it: `rules` has them by operation,
    `GET /v1/users`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": StrictRoute, **options})
        self.rules: dict[str, Access] = {}

    def get(self, path: str, *, access: Access, **options: Any) -> Decorator:  # type: ignore[override]
        """A route of the method GET."""
        self._declare("GET", path, access)
        return super().get(path, **options)

    def post(self, path: str, *, access: Access, **options: Any) -> Decorator:  # type: ignore[override]
        """A route of the method POST."""
        self._declare("POST", path, access)
        return super().post(path, **options)

    def put(self, path: str, *, access: Access, **options: Any) -> Decorator:  # type: ignore[override]
        """A route of the method PUT."""
        self._declare("PUT", path, access)
        return super().put(path, **options)

    def patch(self, path: str, *, access: Access, **options: Any) -> Decorator:  # type: ignore[override]
        """A route of the method PATCH."""
        self._declare("PATCH", path, access)
        return super().patch(path, **options)

    def delete(self, path: str, *, access: Access, **options: Any) -> Decorator:  # type: ignore[override]
        """A route of the method DELETE."""
        self._declare("DELETE", path, access)
        return super().delete(path, **options)

    def _declare(self, method: str, path: str, access: Access) -> None:
        operation = f"{method} {self.prefix}{path}"
        self.rules[operation] = in_force(operation, access)
