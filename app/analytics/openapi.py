"""What OpenAPI says of ingest, by hand, since FastAPI does not see the hot routes."""

from typing import Any, Final

from app.analytics.ingest.libraries import (
    METRICS_PATH,
    SETTINGS_PATH,
    SOURCE,
    SOURCE_PATH,
    settings_of,
)
from app.analytics.ingest.segment import KINDS
from app.analytics.ingest.segment_endpoints import ALIASES
from app.web.openapi.answers import problems
from models.analytics import AnalyticsContent
from models.app import NAME_LENGTH, NAME_PATTERN

_COUNTS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["accepted", "duplicates", "quarantined"],
    "properties": {name: {"type": "integer"} for name in ("accepted", "duplicates", "quarantined")},
}
_ONE: Final[dict[str, Any]] = {
    "appId": "notes",
    "eventName": "signup",
    "eventCategory": "conversion",
    "messageId": "m-1",
}


def ingest_operations() -> dict[str, Any]:
    """The path item of ingest."""
    event = {"$ref": "#/components/schemas/AnalyticsContent"}
    body = {"oneOf": [event, {"type": "array", "items": event, "maxItems": 500}]}
    examples = {"one": {"value": _ONE}, "many": {"value": [_ONE, {**_ONE, "messageId": "m-2"}]}}
    counted = {"accepted": 1, "duplicates": 0, "quarantined": 0}
    found = {
        "description": "Stored",
        "content": {"application/json": {"schema": _COUNTS, "example": counted}},
    }
    return {
        "post": {
            "operationId": "createEvents",
            "summary": "Store one event, or up to 500",
            "description": (
                "An event whose `messageId` the app has already is stored once. One that is not"
                " acceptable is a 422 where it is sent alone; among others it is set aside (`GET"
                " /v1/analytics/quarantine`)."
            ),
            "tags": ["Analytics"],
            "security": [{"HTTPBearer": []}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": body, "examples": examples}},
            },
            "responses": {str(status): said for status, said in {200: found, **problems()}.items()},
        }
    }


def ingest_schemas() -> dict[str, Any]:
    """The schemas that the path item refers to."""
    return {
        "AnalyticsContent": AnalyticsContent.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
    }


_ITEM: Final[dict[str, Any]] = {
    "track": {"event": "signup", "properties": {"plan": "team", "category": "conversion"}},
    "identify": {"traits": {"name": "Ann"}},
    "page": {"name": "Pricing", "properties": {"path": "/pricing"}},
    "screen": {"name": "Settings"},
    "group": {"groupId": "g-1", "traits": {}},
    "alias": {"previousId": "a-1"},
}


_SUCCESS: Final = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"const": True}},
}
_DONE: Final = {"application/json": {"schema": _SUCCESS, "example": {"success": True}}}


def segment_operations() -> dict[str, Any]:
    """The path items of Segment's HTTP API."""
    items = {f"/v1/{kind}": _segment(kind, _call(kind), f"Segment: {kind}") for kind in KINDS}
    batch = {
        "batch": [{"type": kind, **_call(kind)} for kind in ("track", "page")],
        "sentAt": "2026-11-20T08:30:01Z",
    }
    return {"/v1/batch": _segment("batch", batch, "Segment: a batch of up to 2,500 items"), **items}


def _call(kind: str) -> dict[str, Any]:
    common = {"userId": "u-1", "messageId": f"m-{kind}", "timestamp": "2026-11-20T08:30:00Z"}
    return {**common, **_ITEM[kind]}


def _segment(kind: str, example: dict[str, Any], summary: str) -> dict[str, Any]:
    app = {
        "name": "appId",
        "in": "query",
        "schema": {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH},
        "description": "The app, for a key that is bound to none.",
    }
    key = {
        "name": "writeKey",
        "in": "query",
        "schema": {"type": "string"},
        "description": "A write key, for beacons, which can send no header.",
    }
    also = " and ".join(f"`{path}`" for path in ALIASES[f"/v1/{kind}"])
    schema: dict[str, Any] = {"type": "object"}
    if kind == "batch":
        schema |= {
            "required": ["batch"],
            "properties": {"batch": {"type": "array", "items": {}, "maxItems": 2500}},
        }
    found = {"description": "Taken; what could not be counted is set aside", "content": _DONE}
    return {
        "post": {
            "operationId": f"segment{kind.capitalize()}",
            "summary": summary,
            "description": (
                "As Segment's clients send it: Basic authorization with a write key, or `writeKey`"
                f" in the body; gzip or plain. Also at {also}, for the libraries of browsers."
            ),
            "tags": ["Segment"],
            "security": [{"WriteKey": []}, {"HTTPBearer": []}],
            "parameters": [app, key],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": example}},
            },
            "responses": {str(status): said for status, said in {200: found, **problems()}.items()},
        }
    }


def library_operations() -> dict[str, Any]:
    """The path items of what browsers' libraries ask before they send."""
    key = {
        "name": "writeKey",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
        "example": "sk_web",
        "description": "The write key, which is not looked up.",
    }
    settings = settings_of("sk_web", "https", "satchel.example")
    first = "Segment: settings of `@segment/analytics-next`"
    second = "RudderStack: the source of `@rudderstack/analytics-js`"
    metrics = _library(
        "segmentMetrics", "Segment: figures of the library about itself, thrown away", _DONE
    )
    body = {"schema": {"type": "object"}, "example": {"series": []}}
    return {
        SETTINGS_PATH: {
            "get": _library("getSegmentSettings", first, _shown(settings)) | {"parameters": [key]}
        },
        SOURCE_PATH: {"get": _library("getRudderSource", second, _shown(SOURCE))},
        METRICS_PATH: {"post": {**metrics, "requestBody": {"content": {"application/json": body}}}},
    }


def _shown(example: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object"}, "example": example}}


def _library(name: str, summary: str, content: dict[str, Any]) -> dict[str, Any]:
    answers = {200: {"description": "As the library wants it", "content": content}, **problems()}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["Segment"],
        "responses": {str(status): said for status, said in answers.items()},
    }
