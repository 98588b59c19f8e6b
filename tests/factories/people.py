"""People as lines of an import."""

from typing import Any

from models import (
    Activity,
    AppData,
    AuthIdentity,
    ExternalId,
    Preferences,
    Profile,
    User,
)
from models.base import now, rfc3339

ANN: dict[str, Any] = {
    "user": {
        "email": "Ann@Example.com",
        "phone": "+1 415 555 0142",
        "name": "Ann",
        "valuUserId": "v-1",
        "merkosUserId": "m-1",
    },
    "verified": ["email", "phone"],
    "identities": [{"provider": "google", "providerId": "g-1", "email": "ann@example.com"}],
    "profile": {"bio": "Boats.", "metadata": {"$ref": "kept"}},
    "preferences": {"theme": "dark"},
    "externalIds": [{"appId": "crm", "externalId": "7"}],
    "appData": [
        {"appId": "notes", "dataKey": "settings", "value": {"$ref": "x", "n": 1.5}},
        {"appId": "notes", "dataKey": "short", "value": None, "ttl": 60},
        {"appId": "boats", "dataKey": "list", "value": [1, "two", {}]},
    ],
    "activity": [{"appId": "notes", "eventType": "opened", "timestamp": rfc3339(now())}],
}


def person(number: int, **parts: Any) -> dict[str, Any]:
    return {"user": {"email": f"p{number}@example.com", "name": f"P{number}"}, **parts}


async def counts() -> dict[str, int]:
    kinds = (User, Profile, Preferences, AuthIdentity, ExternalId, AppData, Activity)
    return {kind.__name__: await kind.raw().count_documents({}) for kind in kinds}
