"""Access tokens: minted for a user, verified by the key set, refused in any other form and never
with a 5xx."""

import time
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import jwt
import pytest
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from app.accounts.schemas import CreatedAccount, WebhookSecret
from app.auth.api_keys import IssuedKey
from app.auth.routes import Session
from app.auth.schemas import (
    CodeRequest,
    LinkRequest,
    LogoutRequest,
    OidcRequest,
    RefreshRequest,
    TokenPair,
    VerifyRequest,
)
from models.base import now
from models.clock import CLOCK
from models.idempotency import IdempotencyKey
from models.user import User
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api

ME = "/v1/users/me"
KEY = Ed25519PrivateKey.generate()


async def minted(cast: Cast, api: Api, **body: Any) -> dict[str, Any]:
    server = await api.key("sessions:write")
    answer = await server.post(f"/v1/users/{cast.owner.id}/sessions", json=body)
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found


async def test_a_minted_token_names_its_user(cast: Cast, api: Api) -> None:
    session = await minted(cast, api)
    assert (session["tokenType"], session["expiresIn"]) == ("Bearer", 600)
    assert session["userId"] == cast.owner.id
    me = await api.caller(session["accessToken"]).get(ME)
    assert (me.status_code, me.json()["id"]) == (200, cast.owner.id)


async def test_the_key_set_verifies_tokens(cast: Cast, api: Api) -> None:
    await User.raw().update_one(
        {"_id": ObjectId(cast.owner.id)}, {"$set": {"roles": ["user", "editor"]}}
    )
    token = (await minted(cast, api, appId="notes"))["accessToken"]
    answer = await cast.nobody.get("/.well-known/jwks.json")
    keys = jwt.PyJWKSet.from_dict(answer.json())
    header = jwt.get_unverified_header(token)
    assert (answer.status_code, header["alg"], [key.key_id for key in keys.keys]) == (
        200,
        "EdDSA",
        [header["kid"]],
    )
    claims = jwt.decode(
        token, keys.keys[0].key, algorithms=["EdDSA"], audience="satchel", issuer="satchel"
    )
    assert (claims["sub"], claims["appId"], claims["roles"]) == (
        cast.owner.id,
        "notes",
        ["user", "editor"],
    )
    assert claims["exp"] - claims["iat"] == 600
    assert all("d" not in key for key in answer.json()["keys"])


async def test_a_token_of_one_app_reaches_that_apps_data_only(cast: Cast, api: Api) -> None:
    bound = api.caller((await minted(cast, api, appId="notes"))["accessToken"])
    assert (await bound.put("/v1/users/me/apps/notes/data/k", json=1)).status_code == 201
    assert (await bound.put("/v1/users/me/apps/boats/data/k", json=1)).status_code == 404
    assert (await bound.get("/v1/users/me/apps/boats/data")).status_code == 404
    assert (await bound.merge(ME, {"name": "x"})).status_code == 403
    assert (await bound.put(f"{ME}/preferences", json={})).status_code == 403
    assert (await bound.delete(ME)).status_code == 403


async def test_a_key_of_one_app_mints_tokens_of_that_app_only(cast: Cast, api: Api) -> None:
    server, path = (
        await api.key("sessions:write", app_id="notes"),
        f"/v1/users/{cast.owner.id}/sessions",
    )
    token = (await server.post(path)).json()["accessToken"]
    assert jwt.decode(token, options={"verify_signature": False})["appId"] == "notes"
    assert (await server.post(path, json={"appId": "boats"})).status_code == 404


async def test_users_mint_no_tokens(cast: Cast) -> None:
    assert (await cast.owner.post(f"{ME}/sessions")).status_code == 403
    assert (await cast.reader.post(f"/v1/users/{cast.owner.id}/sessions")).status_code == 403
    assert (await cast.admin.post(f"/v1/users/{'f' * 24}/sessions")).status_code == 404


def claims(user_id: str, **changes: Any) -> dict[str, Any]:
    moment = int(time.time())
    whole = {
        **{"iss": "satchel", "aud": "satchel", "sub": user_id, "sid": "s", "roles": []},
        **{"iat": moment, "exp": moment + 60},
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


FORGED: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 1},
    "not yet valid": {"nbf": int(time.time()) + 3600},
    "another audience": {"aud": "other"},
    "another issuer": {"iss": "other"},
    "no expiry": {"exp": None},
    "no audience": {"aud": None},
    "no subject": {"sub": None},
    "no session": {"sid": None},
    "subject of another form": {"sub": "admin"},
    "subject of another type": {"sub": {"$ne": None}},
    "expiry of another type": {"exp": "soon"},
    "expiry without end": {"exp": float("inf")},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
async def test_a_token_of_ours_that_says_something_else_is_401(
    cast: Cast, api: Api, changes: dict[str, Any]
) -> None:
    ours = api.app.state.authenticator.tokens._private
    token = jwt.api_jws.encode(spelled(claims(cast.owner.id, **changes)), ours, "EdDSA")
    await assert_refused(api, f"Bearer {token}")


def spelled(payload: dict[str, Any]) -> bytes:
    import json

    return json.dumps(payload).encode()


def base64(text: bytes) -> str:
    return urlsafe_b64encode(text).rstrip(b"=").decode()


async def assert_refused(api: Api, authorization: str) -> None:
    """401 with a challenge on every kind of route."""
    for method, path in (
        ("GET", ME),
        ("GET", "/v1/users/me/apps/a/data/k"),
        ("POST", "/v1/analytics/events"),
    ):
        sent = {"Authorization": authorization.encode()}
        answer = await api.client.request(method, path, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_of_another_key_is_401(cast: Cast, api: Api) -> None:
    await assert_refused(api, "Bearer " + jwt.encode(claims(cast.owner.id), KEY, "EdDSA"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "ES256", "EdDSA", "", "x"])
async def test_a_token_without_our_signature_is_401(cast: Cast, api: Api, algorithm: str) -> None:
    public = api.app.state.authenticator.tokens.jwks()["keys"][0]["x"]
    header = base64(spelled({"alg": algorithm, "typ": "JWT", "kid": "x", "jwk": {"kty": "OKP"}}))
    body = base64(spelled(claims(cast.owner.id)))
    for signature in ("", "AAAA", base64(b"x" * 64), public):
        await assert_refused(api, f"Bearer {header}.{body}.{signature}")


async def test_a_token_signed_with_the_public_key_as_secret_is_401(cast: Cast, api: Api) -> None:
    public = api.app.state.authenticator.tokens.jwks()["keys"][0]["x"]
    await assert_refused(
        api, "Bearer " + jwt.encode(claims(cast.owner.id), public.ljust(32, "="), "HS256")
    )


async def test_a_token_that_was_cut_or_changed_is_401(cast: Cast, api: Api) -> None:
    token = cast.owner.credential
    assert token is not None
    header, body, signature = token.split(".")
    for length in range(0, len(token), 9):
        await assert_refused(api, f"Bearer {token[:length]}")
    for changed in (
        f"{header}.{body}",
        f"{header}..{signature}",
        f"{header}.{body}.{signature}.x",
        token[::-1],
    ):
        await assert_refused(api, f"Bearer {changed}")
    other = base64(spelled(claims(cast.stranger.id)))
    await assert_refused(api, f"Bearer {header}.{other}.{signature}")


@pytest.mark.parametrize(
    "authorization",
    [
        *(
            "",
            "Bearer",
            "Bearer ",
            "bearer",
            "Basic YTpi",
            "Bearer sk_",
            "Bearer sk_wrong",
            "Token x",
            "Bearer a.b.c",
        ),
        *(
            "Bearer " + "x" * 5000,
            "Bearer sk_" + "x" * 5000,
            "Bearer " + "." * 1000,
            "Bearer é",
            "Bearer \x00",
        ),
        "Bearer " + base64(b"[" * 2000) + ".e30.x",
    ],
)
async def test_other_credentials_are_401(api: Api, authorization: str) -> None:
    await assert_refused(api, authorization)


async def test_no_credentials_are_401(cast: Cast) -> None:
    answer = await cast.nobody.get(ME)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"] == 'Bearer realm="satchel"'


async def test_the_scheme_is_named_in_any_case(cast: Cast, api: Api) -> None:
    answer = await api.client.get(ME, headers={"Authorization": f"bEARER {cast.owner.credential}"})
    assert answer.status_code == 200


async def test_a_token_is_honoured_until_it_expires_and_no_longer(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token was seen before, so that what is remembered of it is asked too."""
    ours = api.app.state.authenticator.tokens._private
    expires = int(time.time()) + 30
    caller = api.caller(jwt.encode(claims(cast.owner.id, exp=expires), ours, "EdDSA"))
    assert (await caller.get(ME)).status_code == 200
    real = CLOCK.time
    monkeypatch.setattr(CLOCK, "time", lambda: real() + timedelta(minutes=1).total_seconds())
    authenticator = api.app.state.authenticator
    assert authenticator._known[f"Bearer {caller.credential}"][1] == expires
    assert (await caller.get(ME)).status_code == 401


async def test_two_satchels_honour_each_others_tokens_only_with_one_key(
    make_api: MakeApi, tmp_path: Any
) -> None:
    one, other = await make_api(), await make_api(data_dir=tmp_path)
    user = (await (await one.key("admin")).post("/v1/users", json={})).json()["id"]
    same = await make_api()
    token = one.token(user).credential
    assert (await same.caller(token).get(ME)).status_code == 200
    assert (await other.caller(token).get(ME)).status_code == 401


async def test_a_session_is_begun_once_for_an_idempotency_key(cast: Cast, api: Api) -> None:
    path, key = f"/v1/users/{cast.owner.id}/sessions", {"Idempotency-Key": "once"}
    first = await cast.admin.post(path, headers=key)
    token = first.json()["accessToken"]
    again = await cast.admin.post(path, headers=key)
    assert (first.status_code, again.status_code, again.json()["code"]) == (
        201,
        409,
        "already_done",
    )
    assert again.json()["id"] == api.app.state.authenticator.tokens.verify(token).session_id
    assert (await api.caller(token).get("/v1/auth/sessions")).json()[
        "items"
    ] == []  # it is no stored session's
    other = await cast.admin.post(path, headers=key, json={"appId": "notes"})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert (await cast.admin.post(path)).status_code == 201
    rows = [repr(row) async for row in IdempotencyKey.raw().find({})]
    assert len(rows) == 1
    assert not any(part in rows[0] for part in (token, *token.split(".")))


def test_answers_that_hold_secrets_do_not_show_them() -> None:
    moment = now()
    view = {
        "id": ObjectId(),
        "version": 1,
        "created_at": moment,
        "updated_at": moment,
        "name": "n",
        "scopes": [],
    }
    account = {**view, "name": "n", "status": "active"}
    pair = {
        "access_token": "the-secret",
        "refresh_token": "the-secret",
        "device_token": "the-secret",
    }
    hiding: list[BaseModel] = [
        Session(user_id="u", access_token="the-secret", expires_in=1),
        IssuedKey(**view, key="the-secret"),
        TokenPair(**pair, expires_in=1, session_id="s", user_id="u"),
        CreatedAccount(**account, webhook_secret="the-secret"),
        WebhookSecret(webhook_secret="the-secret"),
        CodeRequest(email="ann@example.com", device_token="the-secret"),
        OidcRequest(id_token="the-secret"),
        RefreshRequest(refresh_token="the-secret"),
        LogoutRequest(refresh_token="the-secret"),
        LinkRequest(provider="google", id_token="the-secret"),
    ]
    for shown in hiding:
        assert "the-secret" not in f"{shown!r} {shown}"
        assert "the-secret" in shown.model_dump_json(by_alias=True)
    assert "123456" not in repr(VerifyRequest(challenge_id="c", code="123456"))
