"""Examples of what is sent and answered: what `/docs` shows, and what the quick start is made
of."""

from typing import Any, Final

from fastapi import Body

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
ACTIVITY: Final = Body(
    openapi_examples={
        "opened": {"value": {"appId": "notes", "eventType": "opened", "eventData": {"note": 7}}}
    }
)
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
API_KEY: Final = Body(
    openapi_examples={
        "server": {"value": {"name": "notes server", "scopes": ["users:read", "data:read"]}}
    }
)
APP: Final = Body(
    openapi_examples={"strict": {"value": {"name": "Notes", "requireVersion": True, "history": 10}}}
)
SCHEMA_CHECK: Final = Body(
    openapi_examples={
        "titles": {"value": {"schemas": {"task:*": {"type": "object", "required": ["title"]}}}}
    }
)
SESSION: Final = Body(openapi_examples={"bound": {"value": {"appId": "notes"}}})
OTP: Final = Body(openapi_examples={"phone": {"value": {"phoneNumber": "+14155550123"}}})
OTP_VERIFY: Final = Body(
    openapi_examples={
        "code": {
            "value": {"challengeId": "mJ2x0Yq8", "code": "123456", "deviceInfo": "Ann's phone"}
        }
    }
)
OIDC: Final = Body(
    openapi_examples={
        "google": {"value": {"idToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "nonce": "n-1"}}
    }
)
REFRESH: Final = Body(openapi_examples={"token": {"value": {"refreshToken": "rt_AAAA"}}})
LOGOUT: Final = Body(openapi_examples={"token": {"value": {"refreshToken": "rt_AAAA"}}})
ROLE: Final = Body(openapi_examples={"creator": {"value": {"role": "creator"}}})
EMAIL_CHANGE: Final = Body(openapi_examples={"new": {"value": {"email": "ann@new.example.com"}}})
CODE: Final = Body(
    openapi_examples={"code": {"value": {"challengeId": "mJ2x0Yq8", "code": "123456"}}}
)
LINK: Final = Body(
    openapi_examples={
        "google": {
            "value": {
                "provider": "google",
                "idToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
                "nonce": "n-1",
            }
        },
        "phone": {"value": {"provider": "phone", "challengeId": "mJ2x0Yq8", "code": "123456"}},
    }
)
ROTATE: Final = Body(openapi_examples={"day": {"value": {"overlapHours": 24}}})

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
PROJECT: Final = Body(openapi_examples={"project": {"value": {"name": "Notes"}}})
MEMBER: Final = Body(openapi_examples={"reader": {"value": {"role": "member"}}})
REPOSITORY: Final = Body(
    openapi_examples={
        "github": {
            "value": {
                "repositoryUrl": "https://github.com/example/notes",
                "serviceType": "GitHub",
                "accessToken": "github_pat_example",
            }
        }
    }
)


def webhook(example: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's description of what an outside system posts, by an example."""
    schema = {"type": "object", "additionalProperties": True}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


GIT_WEBHOOK: Final = webhook({"zen": "Keep it logically awesome."})
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


def answers(example: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's example of an answer. FastAPI drops nulls from the document, so an example holds
    none."""
    return {200: {"content": {"application/json": {"example": example}}}}


def page_of(item: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's example of one page of a list."""
    return answers({"items": [item], "nextCursor": "WyI2OTFmMGMwZmZlZTY5MWYwYzBmZmVlNjkiXQ"})


_ID: Final = "691f0c0ffee691f0c0ffee69"
_DATES: Final[dict[str, Any]] = {
    "version": 3,
    "createdAt": "2026-11-20T08:30:00.125Z",
    "updatedAt": "2026-11-20T09:12:31.002Z",
}
_OF_USER: Final[dict[str, Any]] = {"id": "691f0c0ffee691f0c0ffee70", "userId": _ID, **_DATES}
USER_SHOWN: Final[dict[str, Any]] = {
    "id": _ID,
    "email": "ann@example.com",
    "name": "Ann",
    "authMethods": [],
    "roles": ["user"],
    "permissions": [],
    "role": "creator",
    "nextSteps": [],
    **_DATES,
}
PROFILE_SHOWN: Final[dict[str, Any]] = {
    **_OF_USER,
    "displayName": "Ann",
    "bio": "Sails.",
    "avatar": {"url": "https://example.com/ann.png"},
    "metadata": {"boat": "Laser"},
}
PREFERENCES_SHOWN: Final[dict[str, Any]] = {
    **_OF_USER,
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
PLAN_SHOWN: Final = {
    "id": _ID,
    "deleted": {"users": 1, "profiles": 1, "preferences": 1, "appdata": 12},
    "nulled": {},
    "blockers": [],
}
RECEIPT_SHOWN: Final = {
    "id": _ID,
    "deleted": {"users": 1, "profiles": 1, "preferences": 1, "appdata": 12},
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
ACTIVITY_SHOWN: Final = {
    **_OF_USER,
    "appId": "notes",
    "eventType": "opened",
    "eventData": {"note": 7},
    "sessionId": "s-1",
    "timestamp": "2026-11-20T08:30:00.125Z",
}
API_KEY_SHOWN: Final = {
    "id": _ID,
    **_DATES,
    "name": "notes server",
    "scopes": ["users:read", "data:read"],
}
APP_SHOWN: Final = {
    "id": "notes",
    "name": "Notes",
    "requireVersion": True,
    "analyticsProperties": ["plan"],
    "tombstoneDays": 30,
    "identifyTraits": ["plan"],
    "history": 0,
    "schemas": {"task:*": {"type": "object", "required": ["title"]}},
    "quota": {"bytes": 10_000_000, "keys": 5000},
    "queries": {"byDue": {"prefix": "task:", "by": [{"pointer": "/due", "order": "asc"}]}},
    **_DATES,
}
JOB_SHOWN: Final = {
    "id": _ID,
    "kind": "sweep-deletion",
    "state": "due",
    "runAt": "2026-11-20T09:12:31.002Z",
    "attempts": 1,
    "progress": {"deleted": {"users": 1, "activities": 4000}},
}
RELATION_SHOWN: Final = {
    "child": "cards",
    "field": "userId",
    "parent": "users",
    "onDelete": "RESTRICT",
    "insert": "cold",
    "oneToOne": False,
    "nullable": True,
    "tenant": "accountId",
    "restrictedWhile": {"status": {"$in": ["pending", "open", "paused"]}},
    "companion": {"status": "orphaned"},
}
SCAN_SHOWN: Final = {
    "id": "appdata.userId",
    "state": "done",
    "startedAt": "2026-11-20T08:30:00.125Z",
    "finishedAt": "2026-11-20T08:30:04.000Z",
    "scanned": 120_000,
    "orphans": 1,
    "mismatches": 0,
    "pending": 0,
    "unreadable": 0,
    "living": 0,
    "samples": [
        {"kind": "orphan", "id": "691f0f3a5f0e8b3f5c9d2a11", "parentId": "691f0f3a5f0e8b3f5c9d2a10"}
    ],
}
KEYS_SHOWN: Final = {
    "keys": [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    ]
}

CONNECTION_SHOWN: Final[dict[str, Any]] = {
    **_OF_USER,
    "provider": "teller",
    "institution": "Bank",
    "label": "Personal",
    "status": "connected",
    "lastSyncAt": "2026-11-20T08:30:00.125Z",
    "nextAttemptAt": "2026-11-20T14:30:00.125Z",
}
SYNC_SHOWN: Final = {"state": "done", "connection": CONNECTION_SHOWN}
BANK_ACCOUNT_SHOWN: Final[dict[str, Any]] = {
    **_OF_USER,
    "connectionId": _ID,
    "providerId": "acc_oiin624kqjrg2mp2ea000",
    "name": "Checking",
    "type": "checking",
    "currency": "USD",
    "balance": 285_750,
    "lastFour": "7857",
    "status": "open",
}
TRANSACTION_SHOWN: Final[dict[str, Any]] = {
    **_OF_USER,
    "bankAccountId": _ID,
    "providerId": "txn_oiluj93igokseo0i3a000",
    "amount": -8646,
    "date": "2026-11-19",
    "description": "Bookshop",
    "status": "posted",
}
MEMBER_SHOWN: Final = {"userId": _ID, "role": "admin"}
PROJECT_SHOWN: Final = {"id": _ID, **_DATES, "name": "Notes", "members": [MEMBER_SHOWN]}
_OFFERED: Final = {
    "role": "member",
    "createdAt": "2026-11-20T08:30:00.125Z",
    "expiresAt": "2026-12-20T08:30:00.125Z",
}
INVITED_SHOWN: Final = {"userId": _ID, **_OFFERED}
INVITATION_SHOWN: Final = {"projectId": _ID, "projectName": "Notes", **_OFFERED}
REPOSITORY_SHOWN: Final = {
    "id": _ID,
    "repositoryUrl": "https://github.com/example/notes",
    "serviceType": "GitHub",
    "isActive": True,
    "lastSyncAt": "2026-11-20T09:12:31.002Z",
    "createdAt": "2026-11-20T08:30:00.125Z",
}
HEALTH_SHOWN: Final = {
    "healthStatus": "degraded",
    "reasons": ["deliveries_failed"],
    "isActive": True,
    "lastHealthCheckAt": "2026-11-20T09:12:31.002Z",
}
EVENT_SHOWN: Final = {
    "id": _ID,
    **_DATES,
    "deliveryId": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "event": "push",
    "status": "processed",
    "attempts": 1,
    "receivedAt": "2026-11-20T08:30:00.125Z",
}
IDENTITY_SHOWN: Final = {"id": _ID, **_DATES, "provider": "phone", "providerId": "+14155550123"}
SESSION_SHOWN: Final = {
    "id": _ID,
    "deviceInfo": "Ann's phone",
    "authMethod": "phone",
    "createdAt": "2026-11-20T08:30:00.125Z",
    "lastUsedAt": "2026-11-20T09:12:31.002Z",
    "expiresAt": "2026-12-20T08:30:00.125Z",
    "current": True,
}
AUDIT_SHOWN: Final = {
    "id": _ID,
    "kind": "grant",
    "at": "2026-11-20T09:12:31.002Z",
    "by": "key:691f0c0ffee691f0c0ffee71",
    "userId": _ID,
    "detail": {"roles": {"from": ["user"], "to": ["user", "editor"]}},
}
