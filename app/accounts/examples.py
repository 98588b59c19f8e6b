"""Examples of accounts."""

from typing import Any, Final

from fastapi import Body

from app.web.openapi.examples import DATES, ID

ACCOUNT: Final = Body(
    openapi_examples={
        "acme": {"value": {"name": "Acme", "webhookUrl": "https://acme.example/hooks/cards"}}
    }
)
ACCOUNT_SHOWN: Final[dict[str, Any]] = {"id": ID, **DATES, "name": "Acme", "status": "active"}
SECRET_SHOWN: Final = {"webhookSecret": "whsec_bm90IGEgc2VjcmV0LCBqdXN0IGFuIGV4YW1wbGUgb2Y="}
ACCOUNT_PLAN_SHOWN: Final = {
    "id": ID,
    "deleted": {"accounts": 1, "users": 2, "cards": 3, "spendingprofiles": 1},
    "nulled": {},
    "blockers": [],
}
ACCOUNT_RECEIPT_SHOWN: Final = {
    "id": ID,
    "deleted": ACCOUNT_PLAN_SHOWN["deleted"],
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
