"""Examples of what is told to analytics."""

from typing import Final

from fastapi import Body

EVENTS: Final = Body(
    openapi_examples={
        "one": {
            "value": {
                "appId": "notes",
                "eventName": "signup",
                "eventCategory": "conversion",
                "messageId": "m-1",
            }
        },
        "many": {
            "value": [
                {"appId": "notes", "eventName": "opened", "eventCategory": "engagement"},
                {
                    "appId": "notes",
                    "eventName": "crashed",
                    "eventCategory": "error",
                    "eventData": {"code": 7},
                },
            ]
        },
    }
)
EXTERNAL_ID: Final = Body(
    openapi_examples={"crm": {"value": {"userId": "65a0c0ffee65a0c0ffee65a0"}}}
)
JOIN: Final = Body(
    openapi_examples={"kiosk": {"value": {"appId": "notes", "anonymousId": "kiosk-1"}}}
)
