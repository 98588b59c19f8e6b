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
OTP: Final = Body(openapi_examples={"phone": {"value": {"phoneNumber": "+14155550123"}}})
OTP_VERIFY: Final = Body(
    openapi_examples={"code": {"value": {"challengeId": "mJ2x0Yq8", "code": "123456", "deviceInfo": "Ann's phone"}}}
)
OIDC: Final = Body(openapi_examples={"google": {"value": {"idToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "nonce": "n-1"}}})
REFRESH: Final = Body(openapi_examples={"token": {"value": {"refreshToken": "rt_AAAA"}}})
LOGOUT: Final = Body(openapi_examples={"token": {"value": {"refreshToken": "rt_AAAA"}}})
ROLE: Final = Body(openapi_examples={"creator": {"value": {"role": "creator"}}})
EMAIL_CHANGE: Final = Body(openapi_examples={"new": {"value": {"email": "ann@new.example.com"}}})
CODE: Final = Body(openapi_examples={"code": {"value": {"challengeId": "mJ2x0Yq8", "code": "123456"}}})
LINK: Final = Body(
    openapi_examples={
        "google": {"value": {"provider": "google", "idToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "nonce": "n-1"}},
        "phone": {"value": {"provider": "phone", "challengeId": "mJ2x0Yq8", "code": "123456"}},
    }
)
ROTATE: Final = Body(openapi_examples={"day": {"value": {"overlapHours": 24}}})

MERGE_PATCH_EXAMPLE: Final[dict[str, Any]] = {"name": "Ann B."}
JSON_PATCH_EXAMPLE: Final[list[dict[str, Any]]] = [{"op": "replace", "path": "/name", "value": "Ann B."}]
PATCHES: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/merge-patch+json": {"schema": {"type": "object"}, "example": MERGE_PATCH_EXAMPLE},
            "application/json-patch+json": {
                "schema": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["op", "path"],
                        "properties": {"op": {"type": "string"}, "path": {"type": "string"}},
                    },
                },
                "example": JSON_PATCH_EXAMPLE,
            },
        },
    },
    "parameters": [
        {"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": 'A version, such as `"3"`.'}
    ],
}
