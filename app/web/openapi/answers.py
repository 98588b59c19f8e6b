"""What OpenAPI says of answers: problems, headers, statuses."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.errors.codes import FIELD_CODES, Code


class FieldError(BaseModel):
    """One field that is wrong: `pointer` names it in the body (RFC 6901), or as `?name` in the
    query, `header:Name`."""

    pointer: str
    code: Annotated[
        str,
        Field(
            json_schema_extra={"enum": list(FIELD_CODES)},
            description="What is wrong with it. More may be added.",
        ),
    ]
    detail: str


class ProblemBody(BaseModel):
    """A problem (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: Annotated[
        Code,
        Field(
            description="What happened. More may be added: go by `status` where one is new to you."
        ),
    ]
    request_id: Annotated[str, Field(alias="requestId")]
    errors: list[FieldError] = Field(default_factory=list)


def _described(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": description,
    }


IF_MATCH: Final = _described(
    "If-Match", 'The ETag that must be current, or a bare version such as `"3"`, or `*`; else 412.'
)
IF_UNMODIFIED_SINCE: Final = _described(
    "If-Unmodified-Since",
    "The `Last-Modified` or `updatedAt` that the client has, as an HTTP date; 412 if it changed.",
)
IF_NONE_MATCH: Final = _described("If-None-Match", "`*`: nothing must be stored; else 412.")
KNOWN: Final = _described("If-None-Match", "The ETag that the client has; 304 if it is current.")
ETAG: Final = {
    "ETag": {
        "schema": {"type": "string"},
        "description": "Version and tag of the document, quoted.",
    }
}

_SAYS: Final[Mapping[int, str]] = {
    400: "A field refers to something that is not there or belongs to another account",
    401: "No credentials, or bad ones",
    403: "The caller lacks the scope",
    404: "There is no such thing, or none that the caller may see",
    406: "No media type that the client accepts can be sent",
    408: "The body did not arrive in time",
    409: "A unique value is taken, or the request is in conflict with what is stored",
    410: (
        "The cursor is too old, or of another filter or epoch: ask anew without one. Of a person:"
        " merged into another, whom `into` names"
    ),
    412: "The precondition does not hold; `current` is what is stored",
    413: "The body is too large",
    415: "The body is of a type that is not taken here",
    422: "The input is not acceptable; `errors` names the fields",
    428: "The app takes no write without a precondition",
    429: "Too many requests; see Retry-After",
    507: "The app keeps as much of this person as it may; `used` and `allowed` say how much",
    503: "Overloaded, or the database cannot be reached; see Retry-After",
}
EVERYWHERE: Final = (401, 403, 404, 408, 413, 415, 422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route answers with, those that every route has
    among them."""
    return {status: _problem(status) for status in sorted({*EVERYWHERE, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": "#/components/schemas/ProblemBody"}
    if status != 412:
        return {
            "description": _SAYS[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
    return mismatch_of({})[412]


def mismatch_of(current: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of a 412.

    Args:
        current: the schema of what is stored; empty where it is what `GET` answers with, as
            `app.openapi` finds.
    """
    content = {"application/problem+json": {"schema": {"properties": {"current": current}}}}
    return {412: {"description": _SAYS[412], "headers": ETAG, "content": content}}


NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The client has this version"}
}
PATCHED: Final = problems(409, 412)
Expand = Annotated[str | None, Query(pattern="^user$", description="`user` embeds the user.")]
