"""Examples of cards and spending profiles."""

from typing import Any, Final

from fastapi import Body

from app.web.openapi.examples import DATES, ID

_USER: Final = "691f0c0ffee691f0c0ffee70"
_PROFILE: Final = "691f0c0ffee691f0c0ffee71"
_CARD: Final = "691f0c0ffee691f0c0ffee72"
CARD: Final = Body(
    openapi_examples={
        "own limit": {
            "value": {
                "userId": _USER,
                "lastFour": "4242",
                "spendLimit": 50000,
                "spendLimitDuration": "MONTHLY",
            }
        },
        "profile": {"value": {"userId": _USER, "lastFour": "1881", "spendingProfileId": _PROFILE}},
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

PROFILE_SHOWN: Final[dict[str, Any]] = {
    "id": _PROFILE,
    **DATES,
    "accountId": ID,
    "name": "Travel",
    "limits": {"TRANSACTION": 100000, "MONTHLY": 500000},
    "allowedMerchantCategories": [],
    "blockedMerchantCategories": ["7995"],
}
CARD_SHOWN: Final[dict[str, Any]] = {
    "id": _CARD,
    **DATES,
    "accountId": ID,
    "userId": _USER,
    "spendingProfileId": _PROFILE,
    "status": "open",
    "lastFour": "1881",
    "effectiveLimits": {
        "source": "spendingProfile",
        "limits": {"TRANSACTION": 100000, "MONTHLY": 500000},
        "allowedMerchantCategories": [],
        "blockedMerchantCategories": ["7995"],
    },
}
EVENT_SHOWN: Final[dict[str, Any]] = {
    "id": "691f0c0ffee691f0c0ffee73",
    **DATES,
    "accountId": ID,
    "subject": _CARD,
    "sequence": 4,
    "type": "card.updated",
    "changed": ["status"],
    "status": "paused",
    "state": "dead",
    "attempts": 12,
    "lastError": "HTTP 500",
}
EVENT_WAITING: Final[dict[str, Any]] = {
    **{name: value for name, value in EVENT_SHOWN.items() if name != "lastError"},
    "sequence": 9,
    "state": "waiting",
    "attempts": 0,
    "nextAttemptAt": "2026-11-20T09:12:31.002Z",
}
_REDELIVERY: Final = {
    "accountId": ID,
    "from": "2026-11-20T08:00:00.000Z",
    "to": "2026-11-20T09:12:31.002Z",
}
REDELIVERY: Final = Body(
    openapi_examples={"outage": {"value": _REDELIVERY}, "everything": {"value": {}}}
)
REDELIVERED: Final = {
    "redelivered": 198,
    "gone": 2,
    "next": {**_REDELIVERY, "after": {"accountId": ID, "subject": _CARD, "sequence": 4}},
}
REDELIVERY_PLAN: Final = {"events": 231, "next": _REDELIVERY}
PROFILE_PLAN_SHOWN: Final = {
    "id": _PROFILE,
    "deleted": {"spendingprofiles": 1},
    "nulled": {"cards": 3},
    "blockers": [],
}
PROFILE_RECEIPT_SHOWN: Final = {
    "id": _PROFILE,
    "deleted": {"spendingprofiles": 1},
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
