"""Examples of users and what belongs to them."""

from typing import Any, Final

from fastapi import Body

from app.web.openapi.examples import DATES, ID, OF_USER

USER: Final = Body(openapi_examples={"ann": {"value": {"email": "ann@example.com", "name": "Ann"}}})
LOGIN: Final = Body(openapi_examples={"login": {"value": {"appId": "notes", "sessionId": "s-1"}}})
PROFILE_EXAMPLE: Final = Body(
    openapi_examples={
        "profile": {"value": {"displayName": "Ann", "bio": "Sails.", "metadata": {"boat": "Laser"}}}
    }
)
PREFERENCES_EXAMPLE: Final = Body(
    openapi_examples={
        "dark": {"value": {"theme": "dark", "language": "en-GB", "notifications": {"push": False}}}
    }
)
PROFILE_CHANGES: Final = (
    {"bio": "Sails and rows.", "metadata": {"boat": "Finn"}},
    [{"op": "replace", "path": "/bio", "value": "Sails and rows."}],
)
PREFERENCES_CHANGES: Final = (
    {"theme": "light", "notifications": {"push": True}},
    [{"op": "replace", "path": "/theme", "value": "light"}],
)
USER_SHOWN: Final[dict[str, Any]] = {
    "id": ID,
    "email": "ann@example.com",
    "name": "Ann",
    "authMethods": [],
    "roles": ["user"],
    "permissions": [],
    "role": "creator",
    "status": "active",
    "nextSteps": [],
    **DATES,
}
PROFILE_SHOWN: Final[dict[str, Any]] = {
    **OF_USER,
    "displayName": "Ann",
    "bio": "Sails.",
    "avatar": {"url": "https://example.com/ann.png"},
    "metadata": {"boat": "Laser"},
}
PREFERENCES_SHOWN: Final[dict[str, Any]] = {
    **OF_USER,
    "theme": "dark",
    "language": "en-GB",
    "notifications": {"email": True, "push": False, "inApp": True},
    "widgets": {"enabled": ["clock"], "disabled": [], "customizations": {}},
    "dashboard": {"layout": "grid", "defaultView": "week", "favoriteApps": ["notes"]},
}
COMPLETE_SHOWN: Final = {
    "user": USER_SHOWN,
    "profile": PROFILE_SHOWN,
    "preferences": PREFERENCES_SHOWN,
}
