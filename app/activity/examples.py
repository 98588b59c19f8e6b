"""Examples of activities."""

from typing import Final

from fastapi import Body

from app.web.openapi.examples import OF_USER

ACTIVITY: Final = Body(
    openapi_examples={
        "opened": {"value": {"appId": "notes", "eventType": "opened", "eventData": {"note": 7}}}
    }
)
ACTIVITY_SHOWN: Final = {
    **OF_USER,
    "appId": "notes",
    "eventType": "opened",
    "eventData": {"note": 7},
    "sessionId": "s-1",
    "timestamp": "2026-11-20T08:30:00.125Z",
}
