"""No secret reaches a log line (design, guarantee 4): whatever a request does with it, and however
it fails."""

import io
import sys
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.api_key import ApiKey, hash_key
from tests.app.faults import failing
from tests.cast import enrol
from tests.conftest import MakeApi
from tests.factories.log_lines import Kept
from tests.harness import Caller

PLANTED = [
    "hunter2-in-a-body",
    "hunter2-in-a-query",
    "hunter2-in-a-path",
    "hunter2-in-a-header",
    "sk_planted" + "x" * 33,
]
SIGN_IN = {
    name: f"hunter2-as-{name}"
    for name in ("code", "challenge", "refresh", "device", "id-token", "nonce", "cookie", "trace")
}
BASIC = "Basic aHVudGVyMjo="


async def misuse(caller: Caller) -> list[int]:
    """Requests that carry a caller's credential and the planted secrets to many places; their
    statuses."""
    body, query, path, header, _ = PLANTED
    answers = [
        await caller.get("/v1/users/me"),
        await caller.get(f"/v1/users/{path}"),
        await caller.get(f"/{path}"),
        await caller.get("/v1/users", params={"token": query}),
        await caller.get("/v1/users", params={"email": f"{query}@example.com"}),
        await caller.get("/v1/users/me/activity", params={"cursor": query}),
        await caller.put(f"/v1/users/me/apps/notes/data/{path}", json={"password": body}),
        await caller.put("/v1/users/me/apps/notes/data/k", content=body, params={"ttl": query}),
        await caller.put("/v1/users/me/profile", json={"password": body, "bio": [body]}),
        await caller.put("/v1/users/me/profile", json={}, headers={"If-Match": header}),
        await caller.post("/v1/users", json={"email": body}, headers={"Idempotency-Key": header}),
        await caller.post("/v1/analytics/events", json={"appId": "notes", "eventName": body}),
        await caller.get("/v1/users/me", headers={"Authorization": BASIC, "Cookie": header}),
        await caller.get("/v1/users/me", headers={"Authorization": f"Bearer {PLANTED[-1]}"}),
        await caller.get("/v1/users/me", headers={"Authorization": f"Bearer {caller.credential}x"}),
        await caller.get("/v1/users/me", headers={"X-Request-Id": f"{header} {header}"}),
        *[await each for each in signing_in(caller)],
    ]
    return [answer.status_code for answer in answers]


def signing_in(caller: Caller) -> list[Any]:
    """Requests that carry what signs people in, in bodies, cookies, queries and headers."""
    code = {"challengeId": SIGN_IN["challenge"], "code": SIGN_IN["code"]}
    token = {"idToken": SIGN_IN["id-token"], "nonce": SIGN_IN["nonce"]}
    asks = {"email": "a@example.com", "deviceToken": SIGN_IN["device"]}
    cookies = {"Cookie": f"satchel_session={SIGN_IN['cookie']}; other={SIGN_IN['cookie']}"}
    headers = {"traceparent": SIGN_IN["trace"], "X-Forwarded-For": SIGN_IN["trace"]}
    return [
        caller.post("/v1/auth/otp", json={**asks, "email": SIGN_IN["device"]}),
        caller.post("/v1/auth/otp/verify", json=code),
        caller.post("/v1/auth/refresh", json={"refreshToken": SIGN_IN["refresh"]}),
        caller.post("/v1/auth/logout", json={"refreshToken": SIGN_IN["refresh"]}),
        caller.post("/v1/auth/oidc/google", json=token),
        caller.post(f"/v1/auth/oidc/{SIGN_IN['id-token']}", json=token),
        caller.get("/console/people", headers=cookies, params={"code": SIGN_IN["code"]}),
        caller.get("/v1/users/me", headers=headers, params={"token": SIGN_IN["refresh"]}),
    ]


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_log_line_holds_a_secret(
    make_api: MakeApi,
    client: AsyncMongoClient[Any],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    said = Kept()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, write_through=True))
    api = await make_api(log_level="debug", log_format=form, credential_cache_seconds=0)
    cast = await enrol(api)
    made = (await cast.admin.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"]})).json()
    minted = (await cast.admin.post(f"/v1/users/{cast.owner.id}/sessions", json={})).json()
    callers = [
        cast.admin,
        cast.owner,
        cast.stranger,
        api.caller(made["key"]),
        api.caller(minted["accessToken"]),
    ]
    seen = {status for caller in callers for status in await misuse(caller)}
    assert {200, 201, 401, 403, 404, 422} <= seen
    async with failing(client, "find", mode={"times": 2}, errorCode=8000):  # a fault that is ours
        assert (await cast.admin.get("/v1/users")).status_code == 500
    with monkeypatch.context() as broken:
        broken.setattr(
            ApiKey, "from_stored", lambda row: 1 // 0
        )  # with the secret in the frames above
        failed = await api.caller(made["key"]).get("/v1/users")
        assert (failed.status_code, failed.json()["code"]) == (500, "internal")
        assert (
            await api.caller(made["key"]).get("/v1/users/me/apps/notes/data/k")
        ).status_code == 500

    lines = said.getvalue().decode()
    assert ("/v1/auth/otp/verify" in lines, "traceId" in lines) == (True, True)
    assert lines.count("request") > len(callers) * 10
    assert "ZeroDivisionError" in lines
    assert "OperationFailure" in lines
    secrets = [caller.credential for caller in callers if caller.credential]
    secrets += [*PLANTED, *SIGN_IN.values(), BASIC]
    hashes = [hash_key(secret) for secret in secrets]
    assert [secret for secret in [*secrets, *hashes] if secret in lines] == []
    assert [
        secret for secret in secrets if secret[:20] in lines and not secret.startswith("eyJ")
    ] == []
