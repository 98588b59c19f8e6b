"""What OpenAPI says of ingest, by hand, since FastAPI does not see the hot route."""

from typing import Any, Final

from app.http import problems
from models.analytics import AnalyticsContent

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
    found = {"description": "Stored", "content": {"application/json": {"schema": _COUNTS, "example": counted}}}
    return {
        "post": {
            "operationId": "createEvents",
            "summary": "Store one event, or up to 500",
            "description": "All are stored or none; an event whose `messageId` the app has already is stored once.",
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
    return {"AnalyticsContent": AnalyticsContent.model_json_schema(ref_template="#/components/schemas/{model}")}
