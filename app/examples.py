"""Examples of request bodies: what `/docs` shows, and what the quick start is made of."""

from typing import Any, Final

from fastapi import Body

USER: Final = Body(openapi_examples={"ann": {"value": {"email": "ann@example.com", "name": "Ann"}}})
LOGIN: Final = Body(openapi_examples={"login": {"value": {"appId": "notes", "sessionId": "s-1"}}})
PROFILE_EXAMPLE: Final = Body(
    openapi_examples={"profile": {"value": {"displayName": "Ann", "bio": "Sails.", "metadata": {"boat": "Laser"}}}}
)
PREFERENCES_EXAMPLE: Final = Body(
    openapi_examples={"dark": {"value": {"theme": "dark", "language": "en-GB", "notifications": {"push": False}}}}
)
ACTIVITY: Final = Body(
    openapi_examples={"opened": {"value": {"appId": "notes", "eventType": "opened", "eventData": {"note": 7}}}}
)
EVENTS: Final = Body(
    openapi_examples={
        "one": {"value": {"appId": "notes", "eventName": "signup", "eventCategory": "conversion", "messageId": "m-1"}},
        "many": {
            "value": [
                {"appId": "notes", "eventName": "opened", "eventCategory": "engagement"},
                {"appId": "notes", "eventName": "crashed", "eventCategory": "error", "eventData": {"code": 7}},
            ]
        },
    }
)
API_KEY: Final = Body(
    openapi_examples={"server": {"value": {"name": "notes server", "scopes": ["users:read", "data:read"]}}}
)
APP: Final = Body(openapi_examples={"strict": {"value": {"name": "Notes", "requireVersion": True}}})
SESSION: Final = Body(openapi_examples={"bound": {"value": {"appId": "notes"}}})
ACCOUNT: Final = Body(
    openapi_examples={"acme": {"value": {"name": "Acme", "webhookUrl": "https://acme.example/hooks/cards"}}}
)
CARD: Final = Body(
    openapi_examples={
        "own limit": {
            "value": {
                "userId": "65f0c1e2a7b3d4e5f6a7b8c9",
                "lastFour": "4242",
                "spendLimit": 50000,
                "spendLimitDuration": "MONTHLY",
            }
        },
        "profile": {
            "value": {
                "userId": "65f0c1e2a7b3d4e5f6a7b8c9",
                "lastFour": "1881",
                "spendingProfileId": "65f0c1e2a7b3d4e5f6a7b8d0",
            }
        },
    }
)
SPENDING_PROFILE: Final = Body(
    openapi_examples={
        "travel": {
            "value": {
                "name": "Travel",
                "limits": {"TRANSACTION": 100000, "MONTHLY": 500000},
                "blockedMerchantCategories": ["7995"],
            }
        }
    }
)

MERGE_PATCH_EXAMPLE: Final[dict[str, Any]] = {"name": "Ann B."}
JSON_PATCH_EXAMPLE: Final[list[dict[str, Any]]] = [{"op": "replace", "path": "/name", "value": "Ann B."}]


def _patches(merged: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/merge-patch+json": {"schema": {"type": "object"}, "example": merged},
                "application/json-patch+json": {
                    "schema": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["op", "path"],
                            "properties": {"op": {"type": "string"}, "path": {"type": "string"}},
                        },
                    },
                    "example": operations,
                },
            },
        },
        "parameters": [
            {
                "name": "If-Match",
                "in": "header",
                "schema": {"type": "string"},
                "description": 'A version, such as `"3"`.',
            }
        ],
    }


PATCHES: Final = _patches(MERGE_PATCH_EXAMPLE, JSON_PATCH_EXAMPLE)
CARD_PATCHES: Final = _patches({"status": "paused"}, [{"op": "replace", "path": "/status", "value": "paused"}])
PROFILE_PATCHES: Final = _patches(
    {"limits": {"MONTHLY": 250000}}, [{"op": "add", "path": "/limits/MONTHLY", "value": 250000}]
)
