"""What OpenAPI says of the hot routes of sync, by hand, since FastAPI does not see them."""

from typing import Any, Final

from app.app_data.openapi import ENVELOPE_SCHEMA, NAME, path_parameter, query_parameter
from app.sync.cursor import ANEW
from app.web.openapi.answers import problems
from app.web.openapi.patch_bodies import component

_TOMBSTONE: Final = component(
    "AppDataTombstone",
    {
        "type": "object",
        "description": "A value that is gone: it was deleted, or its time is over.",
        "required": ["dataKey", "version", "deleted", "updatedAt"],
        "properties": {
            "dataKey": {"type": "string"},
            "version": {"type": "integer"},
            "deleted": {"type": "boolean", "enum": [True]},
            "updatedAt": {"type": "string", "format": "date-time"},
        },
    },
)
_PAGE: Final = component(
    "AppDataChanges",
    {
        "type": "object",
        "required": ["changes", "cursor", "more"],
        "properties": {
            "changes": {"type": "array", "items": {"anyOf": [ENVELOPE_SCHEMA, _TOMBSTONE]}},
            "cursor": {"type": "string", "description": "What `since` goes on from."},
            "more": {
                "type": "boolean",
                "description": "Whether to ask on at once: the pass has more pages.",
            },
        },
    },
)
_EXAMPLE: Final[dict[str, Any]] = {
    "changes": [
        {
            "dataKey": "settings",
            "value": {"theme": "dark"},
            "version": 3,
            "createdAt": "2026-11-20T08:30:00.125Z",
            "updatedAt": "2026-11-20T08:31:00.125Z",
        },
        {
            "dataKey": "draft",
            "version": 2,
            "deleted": True,
            "updatedAt": "2026-11-20T08:32:00.125Z",
        },
    ],
    "cursor": "AVs2kQ",
    "more": False,
}
_DESCRIPTION: Final = (
    "Without `since` the live values, page by page, and then from cursor to cursor what changed:"
    " of every key its last committed state, and nothing is missed. A change may come again; its"
    " `version` tells. A page has at most 8 MiB of values besides `limit`, or one value. `wait`"
    " holds an empty answer back until something changes. A cursor that is too old, of another"
    f" `prefix` or of before a restored backup is answered 410: {ANEW}."
)


_QUOTA: Final = (
    "How much of the app's quota is used, where it has one:"
    " `keys=12;allowed=5000, bytes=4096` (RFC 9651)."
)


def changes_operations() -> dict[str, Any]:
    """The path item of an app's changes."""
    parameters = [
        path_parameter("userId", {"type": "string"}, "me"),
        path_parameter("appId", NAME, "notes"),
        query_parameter(
            "since", {"type": "string", "maxLength": 4096}, "The `cursor` of the answer before."
        ),
        query_parameter(
            "limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 200}, "How many."
        ),
        query_parameter(
            "wait",
            {"type": "integer", "minimum": 0, "maximum": 25, "default": 0},
            "Seconds to wait.",
        ),
        query_parameter("prefix", {"type": "string", "maxLength": 256}, "Only keys that start so."),
    ]
    headers = {"Satchel-Quota": {"description": _QUOTA, "schema": {"type": "string"}}}
    content = {"application/json": {"schema": _PAGE, "example": _EXAMPLE}}
    found = {"description": "One page", "headers": headers, "content": content}
    said = ("listAppDataChanges", "Follow an app's data", _DESCRIPTION)
    return _get(*said, parameters, found)


def _get(
    name: str,
    summary: str,
    description: str,
    parameters: list[dict[str, Any]],
    found: dict[str, Any],
) -> dict[str, Any]:
    """A path item of one operation, answered 410 where the cursor is too old."""
    answers = {200: found} | problems(410)
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "description": description,
            "tags": ["Sync"],
            "security": [{"HTTPBearer": []}],
            "parameters": parameters,
            "responses": {str(status): what for status, what in answers.items()},
        }
    }


_EVENTS: Final = {
    "description": "Lines of `event`, `id`, `data` and `retry`, as the HTML standard has them.",
}
_EVENTS_EXAMPLE: Final = 'event: changed\nid: AVs2kQ\ndata: {"cursor":"AVs2kQ"}\n\n'
_EVENTS_DESCRIPTION: Final = (
    "Server-sent events. `changed` says: ask for changes now, from your own cursor. The first comes"
    " at once where `since` or `Last-Event-ID` is behind. A comment comes every 25 seconds. The"
    " last event is `end`, with the `reason`: `renew`, `token_expiring`, `session_ended`,"
    " `server_stopping`. An event is a hint: losing one costs time, never data. Read it by `fetch`,"
    " since a browser's `EventSource` sends no `Authorization`."
)
_LAST_EVENT: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 4096},
    "description": (
        "The `id` of the event that came last on a stream before; it goes before `since`."
    ),
}


def events_operations() -> dict[str, Any]:
    """The path item of an app's live events."""
    parameters = [
        path_parameter("userId", {"type": "string"}, "me"),
        path_parameter("appId", NAME, "notes"),
        query_parameter(
            "since", {"type": "string", "maxLength": 4096}, "A `cursor` of changes, or of an event."
        ),
        query_parameter(
            "prefix",
            {"type": "string", "maxLength": 256},
            "That of `since`: events tell of every key.",
        ),
        _LAST_EVENT,
    ]
    content = {"text/event-stream": {"schema": _EVENTS, "example": _EVENTS_EXAMPLE}}
    found = {"description": "Events, until either side ends the stream", "content": content}
    said = ("streamAppDataEvents", "Be told of changes", _EVENTS_DESCRIPTION)
    return _get(*said, parameters, found)
