"""What OpenAPI says of batches, by hand, since FastAPI does not see hot routes."""

from typing import Any, Final

from app.app_data.openapi import ENVELOPE
from app.app_data.writes import LONGEST_TTL
from app.sync.batch_body import MOST_WRITES, MUTATION_ID
from app.web.openapi.answers import problems
from app.web.openapi.patch_bodies import REF, component
from models.app import NAME_LENGTH, NAME_PATTERN

_NAME: Final[dict[str, Any]] = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_CURRENT: Final[dict[str, Any]] = {
    "anyOf": [ENVELOPE["application/json"]["schema"], {"type": "null"}],
    "description": (
        "What is stored, null where no live value is. Beyond 8 MiB of values it comes without"
        " `value`."
    ),
}
_WRITE: Final = component(
    "AppDataWrite",
    {
        "type": "object",
        "description": (
            "One write. It has exactly one of `value`, `mergePatch`, `jsonPatch` and `delete`."
        ),
        "required": ["dataKey"],
        "properties": {
            "dataKey": _NAME,
            "value": {"description": "Any JSON value, of at most 512 KiB."},
            "mergePatch": {"description": "JSON Merge Patch (RFC 7396) of the live value."},
            "jsonPatch": {"$ref": REF + "JsonPatch"},
            "delete": {"type": "boolean", "const": True},
            "ifVersion": {
                "type": "integer",
                "minimum": 0,
                "description": (
                    "The latest version that the client knows, a tombstone's too; 0: no live value."
                ),
            },
            "ttl": {
                "type": "integer",
                "minimum": 1,
                "maximum": LONGEST_TTL,
                "description": (
                    "Seconds until the value ends. Without it a value that is put does not end, and"
                    " a patch keeps the expiry."
                ),
            },
            "mutationId": {
                "type": "string",
                "pattern": f"^{MUTATION_ID}$",
                "description": (
                    "Unique among all writes of this key: with it, a repeat of this write changes"
                    " nothing and is answered with the version that it made. A key remembers its"
                    " last eight."
                ),
            },
        },
    },
)
_BATCH: Final = component(
    "AppDataBatch",
    {
        "type": "object",
        "required": ["writes"],
        "properties": {
            "atomic": {
                "type": "boolean",
                "description": "All of the writes, or none. False where it is left out.",
            },
            "writes": {"type": "array", "minItems": 1, "maxItems": MOST_WRITES, "items": _WRITE},
        },
    },
)
_RESULT: Final = component(
    "AppDataResult",
    {
        "type": "object",
        "description": "What became of a write.",
        "required": ["dataKey", "status"],
        "properties": {
            "dataKey": {"type": "string"},
            "status": {
                "type": "string",
                "enum": ["stored", "conflict", "invalid", "notApplied"],
                "description": (
                    "`stored`: done, now or by an earlier request with this `mutationId`."
                    " `conflict`: `ifVersion` does not hold, a `test` found another value, or there"
                    " is nothing to patch. `invalid`: it can never be stored. `notApplied`: nothing"
                    " is wrong with it; send it again."
                ),
            },
            "version": {
                "type": "integer",
                "description": (
                    "Of what is stored: the tombstone's version, 0 where there never was anything."
                ),
            },
            "value": {"description": "What a patch made, unless `Prefer: return=minimal`."},
            "createdAt": _TIME,
            "updatedAt": _TIME,
            "expiresAt": _TIME,
            "deleted": {"type": "boolean", "description": "True of a deletion."},
            "errors": {"type": "array", "items": {"$ref": REF + "FieldError"}},
            "current": _CURRENT,
        },
    },
)
_RESULTS: Final[dict[str, Any]] = {
    "type": "array",
    "description": "One of each write, in their order.",
}
_CURSOR: Final[dict[str, Any]] = {
    "type": "string",
    "description": (
        "Where the server stood before the batch: `changes` since then has what it stored, and all"
        " that came after. A client that has not followed everything before goes on from the cursor"
        " that it has."
    ),
}
_ANSWER: Final = component(
    "AppDataResults",
    {
        "type": "object",
        "required": ["results", "cursor"],
        "properties": {"results": _RESULTS | {"items": _RESULT}, "cursor": _CURSOR},
    },
)
_SENT: Final[dict[str, Any]] = {
    "writes": [
        {"dataKey": "settings", "value": {"theme": "dark"}, "mutationId": "01JDSR3X5W8Z"},
        {"dataKey": "stats", "jsonPatch": [{"op": "increment", "path": "/opened", "value": 1}]},
        {"dataKey": "draft", "delete": True, "ifVersion": 7},
    ]
}
_ANSWERED: Final[dict[str, Any]] = {
    "results": [
        {
            "dataKey": "settings",
            "status": "stored",
            "version": 4,
            "createdAt": "2026-11-20T08:30:00.125Z",
            "updatedAt": "2026-11-28T14:00:00.000Z",
        },
        {"dataKey": "stats", "status": "conflict", "current": None},
        {
            "dataKey": "draft",
            "status": "stored",
            "version": 8,
            "deleted": True,
            "updatedAt": "2026-11-28T14:00:00.000Z",
        },
    ],
    "cursor": "AXk2Jd0aQx9vLm",
}
_ATOMIC: Final = {
    "atomic": True,
    "writes": [{"dataKey": "a", "value": 1}, {"dataKey": "b", "value": 2}],
}


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema = {"type": "string", **schema}
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": description,
    }


def _path(name: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _refused() -> dict[str, Any]:
    results = _RESULTS | {"items": {"$ref": REF + "AppDataResult"}}
    content = {"application/problem+json": {"schema": {"properties": {"results": results}}}}
    return {
        "description": "A write of an atomic batch came too late: nothing was written",
        "content": content,
    }


def batch_operations() -> dict[str, Any]:
    """The path item of batches."""
    answers: dict[int | str, Any] = {
        200: {
            "description": "Done",
            "content": {"application/json": {"schema": _ANSWER, "example": _ANSWERED}},
        },
        **problems(409),
        412: _refused(),
    }
    sent = {"one by one": {"value": _SENT}, "all or none": {"value": _ATOMIC}}
    return {
        "post": {
            "operationId": "writeAppDataBatch",
            "summary": "Store many values",
            "description": (
                "Up to 200 writes of different keys, each for itself unless `atomic` is true. One"
                " that cannot be stored says so for itself; the others are stored. In an app with"
                " `requireVersion` each needs `ifVersion`. A 422 of an atomic batch has `results`"
                " like its 412."
            ),
            "tags": ["App data"],
            "security": [{"HTTPBearer": []}],
            "parameters": [
                _path("userId", {"type": "string"}, "me"),
                _path("appId", _NAME, "notes"),
                _header(
                    "Idempotency-Key",
                    "A repeat with the same key and body writes nothing more; the batch is one"
                    " transaction then.",
                    pattern="^[\\x21-\\x7e]{1,255}$",
                ),
                _header(
                    "Prefer",
                    "`return=minimal` leaves values out, `return=representation` puts them in.",
                ),
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _BATCH, "examples": sent}},
            },
            "responses": {str(status): answers[status] for status in answers},
        }
    }
