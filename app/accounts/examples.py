"""Examples of what is sent and answered about accounts, cards and spending profiles."""

from typing import Any, Final

from fastapi import Body

_ID: Final = "691f0c0ffee691f0c0ffee69"
_USER: Final = "691f0c0ffee691f0c0ffee70"
_PROFILE: Final = "691f0c0ffee691f0c0ffee71"
_CARD: Final = "691f0c0ffee691f0c0ffee72"
_DATES: Final[dict[str, Any]] = {
    "version": 3,
    "createdAt": "2026-11-20T08:30:00.125Z",
    "updatedAt": "2026-11-20T09:12:31.002Z",
}

ACCOUNT: Final = Body(
    openapi_examples={
        "acme": {"value": {"name": "Acme", "webhookUrl": "https://acme.example/hooks/cards"}}
    }
)
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

ACCOUNT_SHOWN: Final[dict[str, Any]] = {"id": _ID, **_DATES, "name": "Acme", "status": "active"}
SECRET_SHOWN: Final = {"webhookSecret": "whsec_bm90IGEgc2VjcmV0LCBqdXN0IGFuIGV4YW1wbGUgb2Y="}
PROFILE_SHOWN: Final[dict[str, Any]] = {
    "id": _PROFILE,
    **_DATES,
    "accountId": _ID,
    "name": "Travel",
    "limits": {"TRANSACTION": 100000, "MONTHLY": 500000},
    "allowedMerchantCategories": [],
    "blockedMerchantCategories": ["7995"],
}
CARD_SHOWN: Final[dict[str, Any]] = {
    "id": _CARD,
    **_DATES,
    "accountId": _ID,
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
    **_DATES,
    "accountId": _ID,
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
    "accountId": _ID,
    "from": "2026-11-20T08:00:00.000Z",
    "to": "2026-11-20T09:12:31.002Z",
}
REDELIVERY: Final = Body(
    openapi_examples={"outage": {"value": _REDELIVERY}, "everything": {"value": {}}}
)
REDELIVERED: Final = {
    "redelivered": 198,
    "gone": 2,
    "next": {**_REDELIVERY, "after": {"accountId": _ID, "subject": _CARD, "sequence": 4}},
}
REDELIVERY_PLAN: Final = {"events": 231, "next": _REDELIVERY}
ACCOUNT_PLAN_SHOWN: Final = {
    "id": _ID,
    "deleted": {"accounts": 1, "users": 2, "cards": 3, "spendingprofiles": 1},
    "nulled": {},
    "blockers": [],
}
PROFILE_PLAN_SHOWN: Final = {
    "id": _PROFILE,
    "deleted": {"spendingprofiles": 1},
    "nulled": {"cards": 3},
    "blockers": [],
}
ACCOUNT_RECEIPT_SHOWN: Final = {
    "id": _ID,
    "deleted": ACCOUNT_PLAN_SHOWN["deleted"],
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
PROFILE_RECEIPT_SHOWN: Final = {
    **ACCOUNT_RECEIPT_SHOWN,
    "id": _PROFILE,
    "deleted": {"spendingprofiles": 1},
}
