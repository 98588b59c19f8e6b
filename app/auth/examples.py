"""Examples of signing in, sessions and keys."""

from typing import Final

from fastapi import Body

from app.web.openapi.examples import DATES, ID

API_KEY: Final = Body(
    openapi_examples={
        "server": {"value": {"name": "notes server", "scopes": ["users:read", "data:read"]}}
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
API_KEY_SHOWN: Final = {
    "id": ID,
    **DATES,
    "name": "notes server",
    "scopes": ["users:read", "data:read"],
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
IDENTITY_SHOWN: Final = {"id": ID, **DATES, "provider": "phone", "providerId": "+14155550123"}
SESSION_SHOWN: Final = {
    "id": ID,
    "deviceInfo": "Ann's phone",
    "authMethod": "phone",
    "createdAt": "2026-11-20T08:30:00.125Z",
    "lastUsedAt": "2026-11-20T09:12:31.002Z",
    "expiresAt": "2026-12-20T08:30:00.125Z",
    "current": True,
}
AUDIT_SHOWN: Final = {
    "id": ID,
    "kind": "grant",
    "at": "2026-11-20T09:12:31.002Z",
    "by": "key:691f0c0ffee691f0c0ffee71",
    "userId": ID,
    "detail": {"roles": {"from": ["user"], "to": ["user", "editor"]}},
}
