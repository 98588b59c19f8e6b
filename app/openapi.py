"""The OpenAPI document: FastAPI's, with the hot routes and the problems put in."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import access
from app.analytics.openapi import ingest_operations, ingest_schemas
from app.analytics.routes import EVENTS_PATH
from app.app_data.openapi import value_operations
from app.app_data.routes import VALUE_PATH
from app.http import ProblemBody

_METHODS: Final = ("get", "put", "post", "patch", "delete")
_EXAMPLE: Final = {
    "type": "/docs/errors#not_found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no such user",
    "code": "not_found",
    "requestId": "5f2c9a0c1d3b7e42",
}
_OPEN: Final = ("/livez", "/readyz", "/metrics", "/.well-known/jwks.json")


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        document["paths"] |= {VALUE_PATH: value_operations(), EVENTS_PATH: ingest_operations()}
        schemas = document["components"].setdefault("schemas", {})
        schemas |= ingest_schemas()
        schemas["ProblemBody"] = _problem_schema(schemas)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        _mend(document)
        access.describe(document)
        app.openapi_schema = document
    return app.openapi_schema


def _problem_schema(schemas: dict[str, Any]) -> dict[str, Any]:
    schema = ProblemBody.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    return {**schema, "example": _EXAMPLE}


def _mend(document: dict[str, Any]) -> None:
    """Leave out FastAPI's own 422 where a route can give none, and the 404 of a path without parameters."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            responses = item.get(method, {}).get("responses", {})
            if path in _OPEN:
                responses.pop("422", None)
