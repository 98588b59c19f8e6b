"""The OpenAPI document: FastAPI's, with the hot routes and the problems put in."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI

from app.identity.access import Rules
from app.web.openapi.answers import (
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    KNOWN,
    ProblemBody,
    mismatch_of,
    problems,
)
from app.web.openapi.patch_bodies import REF, json_patch_schemas
from app.web.openapi.schemas import complete, mend_schemas, operations_of

_EXAMPLE: Final = {
    "type": "/docs/errors#not_found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no such user",
    "code": "not_found",
    "requestId": "5f2c9a0c1d3b7e42",
}
_MISMATCH: Final[dict[str, Any]] = {
    **_EXAMPLE,
    "type": "/docs/errors#version_mismatch",
    "title": "Precondition Failed",
    "status": 412,
    "detail": "the stored document has another version",
    "code": "version_mismatch",
}
REFUSAL: Final = "BatchRefusal"
"""The schema of the 412 of a batch."""
_OPEN: Final = ("/livez", "/readyz", "/metrics", "/.well-known/jwks.json")


def describe(
    app: FastAPI, rules: Rules, hot: Mapping[str, Any], schemas_of_hot: Mapping[str, Any]
) -> dict[str, Any]:
    """The OpenAPI document, made once.

    Args:
        app: the application.
        rules: who may call what.
        hot: the operations that FastAPI does not see, by path.
        schemas_of_hot: the schemas that these name.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)  # with all that the application says of itself
        document["paths"] |= hot
        schemas = document["components"].setdefault("schemas", {})
        schemas |= {**schemas_of_hot, **json_patch_schemas()}
        document["components"]["securitySchemes"]["WriteKey"] = {"type": "http", "scheme": "basic"}
        schemas["ProblemBody"] = _problem_schema(schemas)
        document = json.loads(json.dumps(document))  # so that no two places share what is mended
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        mend_schemas(document)
        _mend(document)
        _type_mismatches(document)
        _type_refusals(document)
        _complete_examples(document)
        rules.describe(document)
        app.openapi_schema = document
    return app.openapi_schema


def _problem_schema(schemas: dict[str, Any]) -> dict[str, Any]:
    schema = ProblemBody.model_json_schema(
        by_alias=True, ref_template="#/components/schemas/{model}"
    )
    definitions = schema.pop("$defs")
    schemas |= {"FieldError": definitions["FieldError"], "ProblemCode": definitions["Code"]}
    schema["properties"]["code"]["$ref"] = REF + "ProblemCode"
    # it is open still, but said aloud `current` would be unknown in TypeScript
    del schema["additionalProperties"]
    return {**schema, "example": _EXAMPLE}


def _mend(document: dict[str, Any]) -> None:
    """Say of every operation what follows from its answers: a 304 or 412 comes of a precondition,
    and has an ETag."""
    for path, method, operation in operations_of(document):
        answers = operation["responses"]
        if path in _OPEN:
            answers["422"] = problems()[422]  # for a query parameter, of which they take none
        if "304" in answers:
            # a list says of its ETag itself, and has no other precondition
            if "headers" not in answers["200"]:
                answers |= {"412": mismatch_of({})[412]}
            _add_parameter(operation, KNOWN)
        if _has_mismatch(answers):
            _tell_of_preconditions(method, operation)


def _tell_of_preconditions(method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    _add_parameter(operation, IF_MATCH)
    _add_parameter(operation, IF_UNMODIFIED_SINCE)
    if method == "put":
        _add_parameter(operation, IF_NONE_MATCH)
    if method != "delete":
        for status in {"200", "201", "304"} & answers.keys():
            answers[status].setdefault("headers", {}).update(ETAG)


def _has_mismatch(answers: dict[str, Any]) -> bool:
    """Whether an operation has a precondition: a batch has a 412 that tells of each write instead
    of one `current`."""
    return "412" in answers and "current" in _problem_of(answers["412"]).get("properties", {})


def _problem_of(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["content"]["application/problem+json"]["schema"]
    return found


def _add_parameter(operation: dict[str, Any], parameter: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if parameter["name"] not in [known.get("name") for known in parameters]:
        parameters.append(parameter)


def _type_mismatches(document: dict[str, Any]) -> None:
    """Give each 412 a schema of its own: a problem whose `current` is what is stored at that path,
    or null."""
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        mismatches = [answers["412"] for answers in _answers_at(item) if _has_mismatch(answers)]
        if not mismatches:
            continue
        current = _current_at(path, item, mismatches)
        shown = complete(_shown_at(item), current, schemas)
        name = _name_of(current) + "Mismatch"
        schemas[name] = _mismatch_schema(schemas["ProblemBody"], current)
        for mismatch in mismatches:
            example = {**_MISMATCH, "current": shown}
            body = {"schema": {"$ref": REF + name}, **({"example": example} if shown else {})}
            mismatch["content"] = {"application/problem+json": body}


def _type_refusals(document: dict[str, Any]) -> None:
    """Give the 412 of a batch a schema of its own: a problem with what became of each write."""
    schemas = document["components"]["schemas"]
    for _, _, operation in operations_of(document):
        answer = operation["responses"].get("412", {})
        said = _problem_of(answer).get("properties", {}) if answer else {}
        if "results" in said:
            problem = schemas["ProblemBody"]
            schemas[REFUSAL] = {**problem, "properties": {**problem["properties"], **said}}
            schemas[REFUSAL]["required"] = [*problem["required"], "results"]
            schemas[REFUSAL].pop("example", None)
            answer["content"] = {"application/problem+json": {"schema": {"$ref": REF + REFUSAL}}}


def _answers_at(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation["responses"] for operation in item.values()]


def _current_at(
    path: str, item: dict[str, Any], mismatches: list[dict[str, Any]]
) -> dict[str, Any]:
    """The schema of what is stored at a path: what its routes say, else what `GET` answers with."""
    for mismatch in mismatches:
        said = _problem_of(mismatch)["properties"]["current"]
        if said:
            return dict(said)
    answer = item.get("get", {}).get("responses", {}).get("200", {})
    found = answer.get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" not in found:
        raise ValueError(
            f"{path} has a 412, and nothing says what its `current` is: use `mismatch_of`"
        )
    return dict(found)


def _shown_at(item: dict[str, Any]) -> Any:
    """An example of what is stored at a path; None where its routes show none."""
    bodies = [
        answers.get("200", {}).get("content", {}).get("application/json", {})
        for answers in _answers_at(item)
    ]
    shown = [body["example"] for body in bodies if isinstance(body.get("example"), dict)]
    return next(({**example, "version": 3} for example in shown if "createdAt" in example), None)


def _name_of(current: dict[str, Any]) -> str:
    name = str(current["$ref"]).removeprefix(REF)
    return next(
        (name.removesuffix(end) for end in ("View", "Envelope", "Current") if name.endswith(end)),
        name,
    )


def _mismatch_schema(problem: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """The problem itself with one more property, since not every generator merges an `allOf`."""
    shown = {
        "anyOf": [current, {"type": "null"}],
        "description": "What is stored; null for nothing.",
    }
    return {
        **{key: part for key, part in problem.items() if key != "example"},
        "description": "The precondition does not hold (RFC 9457).",
        "properties": {**problem["properties"], "current": shown},
        "required": [*problem["required"], "current"],
    }


def _complete_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for _, _, operation in operations_of(document):
        for answer in operation["responses"].values():
            for body in answer.get("content", {}).values():
                if "example" in body:
                    body["example"] = complete(body["example"], body["schema"], schemas)
