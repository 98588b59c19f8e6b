"""What OpenAPI says of the hot routes, by hand, since FastAPI does not see them."""

from typing import Any, Final

from app.web.openapi.answers import ETAG, mismatch_of, problems
from app.web.openapi.patch_bodies import REF, component, patch_body
from models.app import NAME_LENGTH, NAME_PATTERN

_FIELDS: Final[dict[str, Any]] = {
    "dataKey": {"type": "string"},
    "value": {"description": "Any JSON value."},
    "version": {"type": "integer"},
    "createdAt": {"type": "string", "format": "date-time"},
    "updatedAt": {"type": "string", "format": "date-time"},
    "expiresAt": {
        "type": "string",
        "format": "date-time",
        "description": "Only of a value that ends.",
    },
}
ENVELOPE_SCHEMA: Final = component(
    "AppDataEnvelope",
    {
        "type": "object",
        "description": (
            "A value of an app with its version and times; a `PUT` answers it without the value."
        ),
        "required": ["dataKey", "version", "createdAt", "updatedAt"],
        "properties": _FIELDS,
    },
)
_LISTED: Final = component(
    "AppDataItem",
    {
        "type": "object",
        "description": "A value in a list: all of its envelope, or what `fields` asks for.",
        "required": ["dataKey", "version"],
        "properties": {
            **_FIELDS,
            "user": {"$ref": REF + "UserView", "description": "With `expand=user`."},
        },
    },
)
_PAGE: Final = component(
    "AppDataPage",
    {
        "type": "object",
        "required": ["items", "nextCursor"],
        "properties": {
            "items": {"type": "array", "items": _LISTED},
            "nextCursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "count": {
                "type": "integer",
                "description": "With `count=true`: how many there are on all pages.",
            },
        },
    },
)
_EXAMPLE: Final[dict[str, Any]] = {
    "dataKey": "settings",
    "version": 3,
    "createdAt": "2026-11-20T08:30:00.125Z",
    "updatedAt": "2026-11-20T08:30:00.125Z",
}
_VALUE_EXAMPLE: Final[dict[str, Any]] = {"theme": "dark", "zoom": 1.5}
_ANY: Final[dict[str, Any]] = {"description": "Any JSON value."}
NAME: Final[dict[str, Any]] = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}

LIST_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The client has this page"},
    200: {
        "description": "One page",
        "headers": ETAG,
        "content": {
            "application/json": {
                "schema": _PAGE,
                "example": {
                    "items": [{**_EXAMPLE, "value": _VALUE_EXAMPLE}],
                    "nextCursor": "WyJzZXR0aW5ncyJd",
                },
            }
        },
    },
}

ENVELOPE: Final = {
    "application/json": {
        "schema": ENVELOPE_SCHEMA,
        "example": {**_EXAMPLE, "version": 4, "value": _VALUE_EXAMPLE},
    }
}
VERSION_SHOWN: Final[dict[str, Any]] = {
    "version": 3,
    "at": "2026-11-20T08:30:00.125Z",
    "by": "user:691f0c0ffee691f0c0ffee69",
    "bytes": 27,
    "deleted": False,
}
_VERSION: Final = component(
    "AppDataVersion",
    {
        "type": "object",
        "description": "A version of a value. One that is a deletion has no `value`.",
        "required": ["version", "at", "by", "bytes", "deleted"],
        "properties": {
            "version": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "by": {"type": "string"},
            "bytes": {"type": "integer"},
            "deleted": {"type": "boolean"},
            "value": {"description": "Any JSON value."},
        },
    },
)
VERSION_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The version",
        "content": {
            "application/json": {
                "schema": _VERSION,
                "example": {**VERSION_SHOWN, "value": _VALUE_EXAMPLE},
            }
        },
    }
}


def path_parameter(name: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
    """A parameter of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": description,
    }


def query_parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A parameter of the query that may be left out."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


_PLACE: Final = [
    path_parameter("userId", {"type": "string"}, "me"),
    path_parameter("appId", NAME, "notes"),
    path_parameter("dataKey", NAME, "settings"),
]
_KEY: Final = {
    **_header(
        "Idempotency-Key",
        "A repeat with the same key and body writes nothing more and is answered the same.",
    ),
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
}
_PREFER: Final = _header(
    "Prefer", "`return=minimal` leaves the value out, `return=representation` puts it in."
)
_SECONDS: Final = {"type": "integer", "minimum": 1, "maximum": 316224000}
_TTL: Final = query_parameter(
    "ttl", _SECONDS, "Seconds until the value ends; without it a value that is put does not end."
)
_TTL_OF_PATCH: Final = query_parameter(
    "ttl", _SECONDS, "Seconds until the value ends; without it the expiry is kept."
)
_ACTIVITY: Final = query_parameter(
    "activity",
    {"type": "string", "minLength": 1, "maxLength": 256},
    "Event type of an activity that is recorded in the same transaction.",
)


def _operation(operation_id: str, summary: str, description: str, **rest: Any) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "tags": ["App data"],
        "security": [{"HTTPBearer": []}],
        **rest,
    }


def _responses(answers: dict[int | str, Any], *statuses: int) -> dict[str, Any]:
    said: dict[int | str, Any] = {**answers, **problems(*statuses), **mismatch_of(ENVELOPE_SCHEMA)}
    return {str(status): what for status, what in said.items()}


def _envelope(description: str, *, with_value: bool) -> dict[str, Any]:
    example: dict[str, Any] = {**_EXAMPLE, "value": _VALUE_EXAMPLE} if with_value else _EXAMPLE
    content = {"application/json": {"schema": ENVELOPE_SCHEMA, "example": example}}
    return {"description": description, "headers": ETAG, "content": content}


def _json(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema, "example": example}}


def _get() -> dict[str, Any]:
    found = {
        "description": "The bare value",
        "headers": ETAG,
        "content": _json(_ANY, _VALUE_EXAMPLE),
    }
    return _operation(
        "getAppData",
        "Get a value",
        "The bare value, with its ETag.",
        parameters=[*_PLACE],
        responses=_responses({200: found, 304: {"description": "The client has this version"}}),
    )


def _put() -> dict[str, Any]:
    return _operation(
        "putAppData",
        "Store a value",
        "The body is the value itself. Without a precondition the last write wins. **A `PUT`"
        " without `ttl` drops the expiry** that the value had: it stays for good. A `PATCH`"
        " keeps it.",
        parameters=[*_PLACE, _KEY, _PREFER, _TTL, _ACTIVITY],
        requestBody={"required": True, "content": _json(_ANY, _VALUE_EXAMPLE)},
        responses=_responses(
            {
                200: _envelope("Replaced", with_value=False),
                201: _envelope("Created", with_value=False),
            },
            409,
            428,
            507,
        ),
    )


def _patch() -> dict[str, Any]:
    body = patch_body(
        _ANY, {"theme": "light"}, [{"op": "replace", "path": "/theme", "value": "light"}]
    )
    return _operation(
        "patchAppData",
        "Change a value",
        "By JSON Merge Patch (RFC 7396) or JSON Patch (RFC 6902). Keeps the expiry unless `ttl` is"
        " given. A patch that changes nothing moves no version.",
        parameters=[*_PLACE, _KEY, _PREFER, _TTL_OF_PATCH, _ACTIVITY],
        requestBody=body,
        responses=_responses({200: _envelope("Changed", with_value=True)}, 409, 428, 507),
    )


def _delete() -> dict[str, Any]:
    return _operation(
        "deleteAppData",
        "Delete a value",
        "Leaves a tombstone: when the key is used again, its versions go on counting.",
        parameters=[*_PLACE, _KEY, _ACTIVITY],
        responses=_responses({204: {"description": "Deleted"}}, 409, 428),
    )


def value_operations() -> dict[str, Any]:
    """The path item of one value."""
    return {"get": _get(), "put": _put(), "patch": _patch(), "delete": _delete()}
