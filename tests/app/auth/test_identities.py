"""Identities: whom a first sign-in joins and whom not, linking, unlinking, and an email that
changes by a code only."""

from typing import Any

import pytest

from app.settings.sign_in import OidcProvider
from models import AuditEvent
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.factories.emails import put_email
from tests.harness import Caller, version_of
from tests.outside.sign_in import NONCE

ANN = "ann@example.com"


async def confirmed(world: World, caller: Caller, address: str) -> Any:
    await world.may_ask_again()
    return await put_email(world, caller, address)


async def test_a_verified_email_joins_who_holds_the_same_verified(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    joined = await world.by_token(
        "google", "g-1", email="ANN@example.com", email_verified=True, hd="example.com"
    )
    assert (joined.json()["userId"], joined.json()["created"]) == (ann.id, False)
    assert (await ann.get("/v1/users/me")).json()["authMethods"] == ["email", "google"]


async def test_gmail_needs_no_workspace_to_join(world: World) -> None:
    ann = world.person(await world.by_email("ann@gmail.com"))
    joined = await world.by_token("google", "g-1", email="Ann@GMail.com", email_verified=True)
    assert (joined.json()["userId"], joined.json()["created"]) == (ann.id, False)


UNVERIFIED: dict[str, tuple[str, dict[str, Any]]] = {
    "unsaid": ("google", {"hd": "example.com"}),
    "false": ("google", {"email_verified": False, "hd": "example.com"}),
    "text": ("google", {"email_verified": "true", "hd": "example.com"}),
    "number": ("google", {"email_verified": 1, "hd": "example.com"}),
    "list": ("google", {"email_verified": [True], "hd": "example.com"}),
    "object": ("google", {"email_verified": {"value": True}, "hd": "example.com"}),
    "mailbox elsewhere": ("google", {"email_verified": True}),
    "empty hd": ("google", {"email_verified": True, "hd": ""}),
    "hd is no text": ("google", {"email_verified": True, "hd": True}),
    "not gmail": ("google", {"email_verified": True, "email": "ann@gmail.com.example"}),
    "nearly gmail": ("google", {"email_verified": True, "email": "ann@notgmail.com"}),
    "gmail, text": ("google", {"email_verified": "true", "email": "ann@gmail.com"}),
    "does not join": ("facebook", {"email_verified": True}),
    "does not join, text": ("facebook", {"email_verified": "true"}),
}


@pytest.mark.parametrize(("provider", "claims"), UNVERIFIED.values(), ids=UNVERIFIED)
async def test_an_email_that_the_provider_does_not_vouch_for_joins_nobody(
    world: World, provider: str, claims: dict[str, Any]
) -> None:
    claims = {"email": ANN, **claims}
    ann = world.person(await world.by_email(claims["email"]))
    other = world.person(await world.by_token(provider, "x-1", **claims))
    assert other.id != ann.id
    assert (await other.get("/v1/users/me")).json()["email"] is None
    assert (await ann.get("/v1/users/me")).json()["authMethods"] == ["email"]


@pytest.mark.parametrize(("provider", "claims"), UNVERIFIED.values(), ids=UNVERIFIED)
async def test_an_email_that_the_provider_does_not_vouch_for_is_no_new_users(
    world: World, provider: str, claims: dict[str, Any]
) -> None:
    """Else whoever has the mailbox today would be joined to whoever had it once."""
    claims = {"email": ANN, **claims}
    other = world.person(await world.by_token(provider, "x-1", **claims))
    me = (await other.get("/v1/users/me")).json()
    assert (me["email"], me["emailVerifiedAt"]) == (None, None)
    assert world.person(await world.by_email(claims["email"])).id != other.id


async def test_a_provider_that_is_google_by_its_issuer_is_held_against_googles_rule(
    make_api: MakeApi, outside: dict[str, Any], world: World
) -> None:
    issuer = "https://accounts.google.com"
    own = OidcProvider(issuers=[issuer], jwks_url=f"{world.issuer.url}/keys", client_ids=["client"])
    api = await make_api(
        **outside | {"oidc_providers": {"work": own}, "joining_providers": ["work", "email"]}
    )
    ann = world.person(await world.by_email(ANN))
    claims = {"email": ANN, "email_verified": True, "iss": issuer}
    found = []
    for subject, domain in (("w-1", None), ("w-2", "example.com")):
        body = {"idToken": world.issuer.token(subject, hd=domain, **claims), "nonce": NONCE}
        found.append(
            (await api.caller(None).post("/v1/auth/oidc/work", json=body)).json()["userId"]
            == ann.id
        )
    assert found == [False, True]


async def test_an_email_that_google_vouches_for_no_longer_keeps_nothing_verified(
    world: World,
) -> None:
    """The Workspace is left: unlinking the mailbox's own way of signing in leaves nobody who
    vouches."""
    ann = world.person(await world.by_email(ANN))
    await world.by_token("google", "g-1", email=ANN, email_verified=True, hd="example.com")
    await world.by_token("google", "g-1", email=ANN, email_verified=True)
    email = (await ann.get("/v1/users/me/identities")).json()["items"][0]
    assert (await ann.delete(f"/v1/users/me/identities/{email['id']}")).status_code == 204
    assert (await ann.get("/v1/users/me")).json()["emailVerifiedAt"] is None


async def test_nobody_joins_a_user_whose_email_was_not_verified(world: World) -> None:
    """A server may have been told any address: who holds the mailbox must not find themselves in
    that account."""
    admin = await world.api.key("admin")
    held = (await admin.post("/v1/users", json={"email": ANN})).json()
    other = world.person(await world.by_email(ANN))
    assert other.id != held["id"]
    assert (await other.get("/v1/users/me")).json()["email"] == ANN


async def test_an_email_that_a_key_changes_is_not_verified_any_more(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    key = await world.api.key("users:read", "users:write")
    changed = (await key.merge(f"/v1/users/{ann.id}", {"email": "other@example.com"})).json()
    assert (changed["email"], changed["emailVerifiedAt"]) == ("other@example.com", None)
    refused = await key.merge(f"/v1/users/{ann.id}", {"emailVerifiedAt": "2026-11-20T00:00:00Z"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "/emailVerifiedAt",
    )


async def test_an_email_changes_only_when_the_code_comes_back(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    assert (await ann.merge("/v1/users/me", {"email": "new@example.com"})).status_code == 403
    asked = (await ann.post("/v1/users/me/email", json={"email": "New@Example.com"})).json()
    message = world.mailbox.messages[-1]
    assert (message["to"], message["purpose"]) == ("new@example.com", "change_email")
    assert (await ann.get("/v1/users/me")).json()["email"] == ANN
    wrong = {
        "challengeId": asked["challengeId"],
        "code": f"{(int(message['code']) + 1) % 10**6:06}",
    }
    refused = await ann.put("/v1/users/me/email", json=wrong)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/code")
    right = {**wrong, "code": message["code"]}
    stranger = world.person(await world.by_phone())
    assert (await stranger.put("/v1/users/me/email", json=right)).status_code == 422
    changed = await ann.put("/v1/users/me/email", json=right)
    assert (changed.status_code, changed.json()["email"]) == (200, "new@example.com")
    assert version_of(changed) == changed.json()["version"]
    assert (await ann.put("/v1/users/me/email", json=right)).status_code == 422
    assert [
        one["providerId"] for one in (await ann.get("/v1/users/me/identities")).json()["items"]
    ] == ["new@example.com"]
    await world.may_ask_again()
    assert world.person(await world.by_email("new@example.com")).id == ann.id
    assert world.person(await world.by_email(ANN)).id != ann.id


async def test_an_email_of_somebody_else_is_refused_when_the_code_comes_back(world: World) -> None:
    world.person(await world.by_email(ANN))
    world.person(
        await world.by_token(
            "google", "g-1", email="held@example.com", email_verified=True, hd="example.com"
        )
    )
    bob = world.person(await world.by_phone())
    for address in (ANN, "held@example.com"):
        refused = await confirmed(world, bob, address)
        assert (refused.status_code, refused.json()["code"]) == (409, "duplicate")
    assert (await bob.get("/v1/users/me")).json()["email"] is None
    assert (await bob.get("/v1/users/me")).json()["authMethods"] == ["phone"]


async def test_a_phone_is_linked_by_its_code(world: World) -> None:
    ann = world.person(await world.by_token("google", "g-1"))
    path = "/v1/users/me/identities"
    challenge = (await ann.post(f"{path}/challenges", json={"phoneNumber": PHONE})).json()[
        "challengeId"
    ]
    body = {"provider": "phone", "challengeId": challenge, "code": world.mailbox.code(PHONE)}
    stranger = world.person(await world.by_token("google", "g-2"))
    assert (await stranger.post(path, json=body)).status_code == 422
    assert (await ann.post(path, json=body)).status_code == 201
    assert world.person(await world.by_phone()).id == ann.id
    row = await AuditEvent.raw().find_one({"kind": "identity_linked"})
    assert row is not None and PHONE not in str(row)
