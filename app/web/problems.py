"""What goes wrong in a route, as a problem (RFC 9457)."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from app.errors import Internal, MethodNotAllowed, NotFound, Problem
from app.errors.driver import from_driver
from app.web.body import dump_json
from app.web.observability import log
from app.web.validation.errors import validation_problem


def handle_errors(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Have an application answer every error of its routers' routes as a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        found = _as_problem(error, routers, request.url.path)
        # others are logged by the outermost layer
        if isinstance(found, Internal) and isinstance(error, PyMongoError):
            log.error(
                "unexpected", requestId=request.scope.get("satchel.request_id"), exc_info=error
            )
        body = dump_json(found.body(request.scope.get("satchel.request_id", "")))
        return Response(body, found.status, found.headers, media_type="application/problem+json")

    for kind in (Problem, RequestValidationError, HTTPException, PyMongoError, Exception):
        app.add_exception_handler(kind, problem)


def without_plain_errors(stack: ASGIApp) -> ASGIApp:
    """FastAPI's stack without the layer that answers unexpected errors as text: `Observed` makes
    problems of them."""
    return stack.app if isinstance(stack, ServerErrorMiddleware) else stack


def _as_problem(error: Exception, routers: Sequence[APIRouter], path: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return validation_problem(error.errors())
    if isinstance(error, PyMongoError):
        return from_driver(error)
    if isinstance(error, HTTPException) and error.status_code == 405:
        return MethodNotAllowed(
            "the path takes other methods", headers={"Allow": ", ".join(_methods(routers, path))}
        )
    if isinstance(error, HTTPException) and error.status_code == 404:
        return NotFound("there is nothing at this path")
    return Internal()


def _methods(routers: Sequence[APIRouter], path: str) -> list[str]:
    """The methods that a path takes; Starlette names those of the first route alone."""
    routes = [route for each in routers for route in each.routes if isinstance(route, APIRoute)]
    methods = {
        method for route in routes if route.path_regex.match(path) for method in route.methods or ()
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
