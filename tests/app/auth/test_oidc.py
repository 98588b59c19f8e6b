"""ID tokens: whose signature, issuer, audience, times, nonce and party are right sign in; no other,
and never a 5xx."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from app.settings.sign_in import OidcProvider
from models import User
from tests.app.auth.conftest import World
from tests.conftest import MakeApi
from tests.outside.sign_in import NONCE, Issuer

NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "nonce"),
    [
        ({"iss": "https://accounts.google.com.evil.test"}, NONCE),
        ({"aud": "another client"}, NONCE),
        ({"aud": ["client", "another"]}, NONCE),
        ({"aud": ["client", "another"], "azp": "another"}, NONCE),
        ({"azp": "another"}, NONCE),
        ({"exp": NOW - 60}, NONCE),
        ({"exp": None}, NONCE),
        ({"exp": NOW + 25 * 3600}, NONCE),
        ({"iat": NOW + 3600}, NONCE),
        ({"nbf": NOW + 3600}, NONCE),
        ({"sub": None}, NONCE),
        ({"sub": ""}, NONCE),
        ({"sub": "x" * 300}, NONCE),
        ({"sub": "a\0b"}, NONCE),
        ({"nonce": "another"}, NONCE),
        ({"nonce": None}, NONCE),
        ({"nonce": None}, None),
        ({}, None),
        ({}, "another"),
        ({"nonce": {"$ne": ""}}, NONCE),
    ],
)
async def test_other_tokens_are_refused(
    world: World, claims: dict[str, Any], nonce: str | None
) -> None:
    body = {
        "idToken": world.issuer.token("g-1", **{"audience": "client", **claims}),
        "nonce": nonce,
    }
    refused = await world.nobody.post("/v1/auth/oidc/google", json=body)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert await User.raw().count_documents({}) == 0


async def test_several_audiences_are_fine_where_we_are_the_party(world: World) -> None:
    assert (
        await world.by_token("google", "g-1", audience=["client", "x"], azp="client")
    ).status_code == 200


async def test_a_nonce_is_hashed_only_where_the_provider_has_it_so(
    make_api: MakeApi, world: World
) -> None:
    from hashlib import sha256

    hashed = sha256(NONCE.encode()).hexdigest()
    assert (await world.by_token("google", "g-1", nonce=hashed)).status_code == 401
    url = world.issuer.url
    own = OidcProvider(
        issuers=[url], jwks_url=f"{url}/keys", client_ids=["client"], nonce_hashed=True
    )
    world.api = await make_api(**{**world.settings, "oidc_providers": {"apple": own}})
    assert (await world.by_token("apple", "a-1", nonce=hashed)).status_code == 200
    assert (await world.by_token("apple", "a-1")).status_code == 401


async def test_an_id_token_signs_in_or_links_once(world: World) -> None:
    body = {"idToken": world.issuer.token("g-1"), "nonce": NONCE}
    path, link = "/v1/auth/oidc/google", "/v1/users/me/identities"
    answers = await asyncio.gather(*(world.nobody.post(path, json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    ann = world.person(next(answer for answer in answers if answer.status_code == 200))
    assert (await ann.post(link, json={"provider": "google", **body})).status_code == 422
    once = {"idToken": world.issuer.token("f-1"), "nonce": NONCE}
    assert (await ann.post(link, json={"provider": "facebook", **once})).status_code == 201
    assert (await world.nobody.post("/v1/auth/oidc/facebook", json=once)).status_code == 401


async def test_a_deployment_may_do_without_nonces_but_checks_those_that_are_there(
    make_api: MakeApi, outside: dict[str, Any], world: World
) -> None:
    api = await make_api(**{**outside, "oidc_nonce_required": False})
    path, issuer = "/v1/auth/oidc/google", world.issuer
    without = await api.caller(None).post(path, json={"idToken": issuer.token("g-1", nonce=None)})
    unanswered = await api.caller(None).post(path, json={"idToken": issuer.token("g-1")})
    assert (without.status_code, unanswered.status_code) == (200, 401)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_without_the_providers_signature_is_refused(
    world: World, algorithm: str
) -> None:
    kid = jwt.get_unverified_header(world.issuer.token("g-1"))["kid"]
    claims = {
        "iss": world.issuer.url,
        "aud": "client",
        "sub": "g-1",
        "iat": NOW,
        "exp": NOW + 60,
        "nonce": NONCE,
    }
    key = "" if algorithm == "none" else str(world.issuer.answer()[1])
    token = jwt.encode(claims, key, algorithm, {"kid": kid})
    refused = await world.nobody.post(
        "/v1/auth/oidc/google", json={"idToken": token, "nonce": NONCE}
    )
    assert refused.status_code == 401


async def test_keys_are_fetched_once_and_again_when_the_issuer_rotates(world: World) -> None:
    before = world.issuer.fetches
    for number in range(3):
        assert (await world.by_token("google", f"g-{number}")).status_code == 200
    assert world.issuer.fetches == before + 1
    world.issuer.rotate()
    keys = world.api.app.state.sign_in.oidc._keys["google"]
    keys._tried_at = float("-inf")  # as if the last look had been a while ago
    assert (await world.by_token("google", "g-1")).status_code == 200
    assert world.issuer.fetches == before + 2


async def test_unknown_keys_do_not_make_us_ask_the_provider_again_and_again(world: World) -> None:
    await world.by_token("google", "g-1")
    before = world.issuer.fetches
    forger = Issuer()
    forger.url = world.issuer.url
    for number in range(20):
        body = {"idToken": forger.token("g-1", kid=f"key-{number}"), "nonce": NONCE}
        assert (await world.nobody.post("/v1/auth/oidc/google", json=body)).status_code == 401
    assert world.issuer.fetches <= before + 1


async def test_a_key_that_was_withdrawn_is_refused_once_the_keys_are_old(world: World) -> None:
    old = world.issuer.token("g-1")
    assert (await world.by_token("google", "g-1")).status_code == 200
    world.issuer.rotate(keep=False)
    keys = world.api.app.state.sign_in.oidc._keys["google"]
    keys._fetched_at = keys._tried_at = float("-inf")
    body = {"idToken": old, "nonce": NONCE}
    assert (await world.nobody.post("/v1/auth/oidc/google", json=body)).status_code == 401


async def test_a_provider_that_is_down_is_503_until_its_keys_are_known_and_no_matter_after(
    world: World,
) -> None:
    world.issuer.down = True
    assert (await world.by_token("google", "g-1")).status_code == 503
    world.issuer.down = False
    keys = world.api.app.state.sign_in.oidc._keys["google"]
    keys._tried_at = float("-inf")
    assert (await world.by_token("google", "g-1")).status_code == 200
    world.issuer.down = True
    keys._fetched_at -= 2 * 3600
    keys._tried_at = float("-inf")
    assert (await world.by_token("google", "g-1")).status_code == 200
    keys._fetched_at -= 25 * 3600
    assert (await world.by_token("google", "g-1")).status_code == 503


async def test_any_provider_can_be_configured_and_no_other_is_there(
    make_api: MakeApi, outside: dict[str, Any], world: World
) -> None:
    own = OidcProvider(
        issuers=[world.issuer.url], jwks_url=f"{world.issuer.url}/keys", client_ids=["ours"]
    )
    api = await make_api(
        **{**outside, "oidc_providers": {"workplace": own}, "google_client_ids": []}
    )
    body = {
        "idToken": world.issuer.token("w-1", "ours", email="w@example.com", email_verified=True),
        "nonce": NONCE,
    }
    answer = await api.caller(None).post("/v1/auth/oidc/workplace", json=body)
    user = await User.raw().find_one({})
    assert user is not None
    assert (answer.status_code, user["authMethods"], user.get("email")) == (
        200,
        ["workplace"],
        None,
    )
    assert (await api.caller(None).post("/v1/auth/oidc/google", json=body)).status_code == 404
    assert (await api.caller(None).post("/v1/auth/oidc/phone", json=body)).status_code == 404


async def test_what_a_provider_says_of_a_person_never_refuses_them(world: World) -> None:
    odd = {
        "name": 7,
        "email": "no address",
        "email_verified": True,
        "picture": "javascript:alert(1)",
    }
    ann = world.person(await world.by_token("google", "g-1", **odd))
    me = (await ann.get("/v1/users/me/complete")).json()
    assert (me["user"]["name"], me["user"]["email"], me["profile"]["avatar"]["url"]) == (
        None,
        None,
        None,
    )
    long = {"name": "\0 Ann " + "x" * 1000, "picture": "https://x.test/" + "p" * 3000}
    bob = world.person(await world.by_token("google", "g-2", **long))
    me = (await bob.get("/v1/users/me/complete")).json()
    assert (len(me["user"]["name"]), me["profile"]["avatar"]["url"]) == (255, None)
