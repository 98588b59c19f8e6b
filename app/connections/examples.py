"""Examples of bank connections."""

from typing import Any, Final

from fastapi import Body

from app.web.openapi.examples import ID, OF_USER, webhook

CONNECTION: Final = Body(
    openapi_examples={
        "sandbox": {
            "value": {
                "provider": "sandbox",
                "institution": "Sandbox Bank",
                "label": "Personal",
                "accessToken": "sandbox_ann",
            }
        }
    }
)
DECISION: Final = Body(
    openapi_examples={
        "one of before": {
            "value": {
                "providerId": "acc_oiin624kqjrg2mp2ea000",
                "bankAccountId": "691f0c0ffee691f0c0ffee69",
            },
        }
    }
)
TELLER_WEBHOOK: Final = webhook(
    {
        "id": "wh_oiin624rqaojse22oe000",
        "payload": {
            "enrollment_id": "enr_oiin624rqaojse22oe000",
            "reason": "disconnected.account_locked",
        },
        "timestamp": "2026-11-20T08:30:00Z",
        "type": "enrollment.disconnected",
    }
)
CONNECTION_SHOWN: Final[dict[str, Any]] = {
    **OF_USER,
    "provider": "teller",
    "institution": "Bank",
    "label": "Personal",
    "status": "connected",
    "lastSyncAt": "2026-11-20T08:30:00.125Z",
    "nextAttemptAt": "2026-11-20T14:30:00.125Z",
}
SYNC_SHOWN: Final = {"state": "done", "connection": CONNECTION_SHOWN}
BANK_ACCOUNT_SHOWN: Final[dict[str, Any]] = {
    **OF_USER,
    "connectionId": ID,
    "providerId": "acc_oiin624kqjrg2mp2ea000",
    "name": "Checking",
    "type": "checking",
    "currency": "USD",
    "balance": 285_750,
    "lastFour": "7857",
    "status": "open",
}
TRANSACTION_SHOWN: Final[dict[str, Any]] = {
    **OF_USER,
    "bankAccountId": ID,
    "providerId": "txn_oiluj93igokseo0i3a000",
    "amount": -8646,
    "date": "2026-11-19",
    "description": "Bookshop",
    "status": "posted",
}
