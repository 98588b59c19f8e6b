"""The OpenAPI document: FastAPI's, with the hot routes and the problems put in."""

from typing import Any, Final

from fastapi import FastAPI

from app import access
from app.analytics.openapi import ingest_operations, ingest_schemas, segment_operations
from app.analytics.routes import EVENTS_PATH
from app.app_data.openapi import value_operations
from app.app_data.routes import VALUE_PATH
from app.http import ETAG, IF_MATCH, IF_NONE_MATCH, KNOWN, ProblemBody, problems

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
        document = FastAPI.openapi(app)  # with all that the application says of itself
        document["paths"] |= {VALUE_PATH: value_operations(), EVENTS_PATH: ingest_operations()}
        document["paths"] |= segment_operations()
        schemas = document["components"].setdefault("schemas", {})
        schemas |= ingest_schemas()
        document["components"]["securitySchemes"]["WriteKey"] = {"type": "http", "scheme": "basic"}
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
    """Say of every operation what follows from its answers: a 304 or 412 comes of a precondition, and has an ETag."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if (operation := item.get(method)) is None:
                continue
            if path in _OPEN:
                operation["responses"]["422"] = problems()[422]  # for a query parameter, of which they take none
            if "304" in operation["responses"]:
                _add_parameter(operation, KNOWN)
            if "412" in operation["responses"]:
                _add_parameter(operation, IF_MATCH)
            if "412" in operation["responses"] and method == "put":
                _add_parameter(operation, IF_NONE_MATCH)
            if operation["responses"].keys() & {"304", "412"} and method != "delete":
                for status in ("200", "201", "304"):
                    if status in operation["responses"]:
                        operation["responses"][status].setdefault("headers", {}).update(ETAG)


def _add_parameter(operation: dict[str, Any], parameter: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if parameter["name"] not in [known.get("name") for known in parameters]:
        parameters.append(parameter)
