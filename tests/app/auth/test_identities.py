"""Identities: whom a first sign-in joins and whom not, linking, unlinking, and an email that
changes by a code only."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from app.settings.sign_in import OidcProvider
from models import AuditEvent, AuthIdentity, User
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.harness import Caller, version_of
from tests.outside.sign_in import NONCE

ANN = "ann@example.com"


async def linked(world: World, caller: Caller, provider: str, subject: str) -> Any:
    body = {"provider": provider, "idToken": world.issuer.token(subject), "nonce": NONCE}
    return await caller.post("/v1/users/me/identities", json=body)


async def confirmed(world: World, caller: Caller, address: str) -> Any:
    await world.may_ask_again()
    asked = await caller.post("/v1/users/me/email", json={"email": address})
    assert asked.status_code == 202, asked.text
    answer = {
        "challengeId": asked.json()["challengeId"],
        "code": world.mailbox.messages[-1]["code"],
    }
    return await caller.put("/v1/users/me/email", json=answer)


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


async def test_an_identity_of_somebody_else_is_409_and_ones_own_stays(world: World) -> None:
    ann = world.person(await world.by_token("google", "g-1"))
    bob = world.person(await world.by_token("google", "g-2"))
    refused = await linked(world, bob, "google", "g-1")
    assert (refused.status_code, refused.json()["code"]) == (409, "duplicate")
    again = await linked(world, ann, "google", "g-1")
    assert again.status_code == 201
    assert await AuthIdentity.raw().count_documents({}) == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/provider"),
        ({"provider": "phone"}, "/challengeId"),
        ({"provider": "phone", "challengeId": "x"}, "/code"),
        ({"provider": "phone", "challengeId": "x", "code": "123456"}, "/code"),
        ({"provider": "phone", "challengeId": "x", "code": "12345"}, "/code"),
        ({"provider": "google"}, "/idToken"),
        ({"provider": "google", "idToken": "x"}, "/idToken"),
        ({"provider": "nobody", "idToken": "x"}, "/provider"),
        ({"provider": "email", "challengeId": "x", "code": "123456"}, "/provider"),
    ],
    ids=repr,
)
async def test_other_links_are_refused_by_field(
    world: World, body: dict[str, Any], pointer: str
) -> None:
    ann = world.person(await world.by_token("google", "g-1"))
    refused = await ann.post("/v1/users/me/identities", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_nobody_unlinks_anothers_identity(world: World) -> None:
    ann = world.person(await world.by_token("google", "g-1"))
    bob = world.person(await world.by_token("google", "g-2"))
    await linked(world, ann, "facebook", "f-1")
    mine = (await ann.get("/v1/users/me/identities")).json()["items"][1]["id"]
    for path in (mine, "f" * 24, "nonsense"):
        assert (await bob.delete(f"/v1/users/me/identities/{path}")).status_code == 404
    assert len((await ann.get("/v1/users/me/identities")).json()["items"]) == 2


async def test_an_unlinked_email_joins_nobody_until_it_is_confirmed_again(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    await linked(world, ann, "facebook", "f-1")
    email = (await ann.get("/v1/users/me/identities")).json()["items"][0]
    assert (await ann.delete(f"/v1/users/me/identities/{email['id']}")).status_code == 204
    await world.may_ask_again()
    assert world.person(await world.by_email(ANN)).id != ann.id


async def test_an_identity_whose_user_is_gone_signs_somebody_new_in(world: World) -> None:
    """As after a restore of part of a database: nobody is locked out by what is left."""
    ann = world.person(await world.by_token("google", "g-1"))
    await User.raw().delete_one({"_id": ObjectId(ann.id)})
    assert world.person(await world.by_token("google", "g-1")).id != ann.id
    assert await AuthIdentity.raw().count_documents({}) == 1


@pytest.mark.parametrize(
    ("held", "claimed"),
    [("ann@fass.example", "ann@faß.example"), ("strasse@example.com", "straße@example.com")],
)
async def test_an_address_that_only_folds_to_anothers_joins_nobody(
    world: World, held: str, claimed: str
) -> None:
    ann = world.person(await world.by_email(held))
    other = world.person(
        await world.by_token("google", "g-1", email=claimed, email_verified=True, hd="example.com")
    )
    assert other.id != ann.id
    assert (await ann.get("/v1/users/me")).json()["authMethods"] == ["email"]


async def test_a_code_goes_to_the_address_that_was_typed_and_to_no_other(world: World) -> None:
    await world.challenge(email="ann@faß.example")
    assert world.mailbox.messages[-1]["to"] == "ann@xn--fa-hia.example"
    sent = len(world.mailbox.messages)
    refused = await world.nobody.post("/v1/auth/otp", json={"email": "straße@example.com"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/email")
    assert len(world.mailbox.messages) == sent


async def test_an_unlinked_provider_does_not_join_again_by_the_email_that_it_vouched_for(
    world: World,
) -> None:
    claims = {"email": ANN, "email_verified": True, "hd": "example.com"}
    ann = world.person(await world.by_token("google", "g-1", **claims))
    await linked(world, ann, "facebook", "f-1")
    facebook = (await ann.get("/v1/users/me/identities")).json()["items"][1]
    assert (await ann.delete(f"/v1/users/me/identities/{facebook['id']}")).status_code == 204
    assert (await ann.get("/v1/users/me")).json()["emailVerifiedAt"] is not None
    await linked(world, ann, "facebook", "f-1")
    google = (await ann.get("/v1/users/me/identities")).json()["items"][0]
    assert (await ann.delete(f"/v1/users/me/identities/{google['id']}")).status_code == 204
    me = (await ann.get("/v1/users/me")).json()
    assert (me["email"], me["emailVerifiedAt"]) == (ANN, None)
    assert world.person(await world.by_token("google", "g-1", **claims)).id != ann.id


async def test_an_email_that_another_identity_vouches_for_stays_verified(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    await world.by_token("google", "g-1", email=ANN, email_verified=True, hd="example.com")
    google = (await ann.get("/v1/users/me/identities")).json()["items"][1]
    assert (await ann.delete(f"/v1/users/me/identities/{google['id']}")).status_code == 204
    assert (await ann.get("/v1/users/me")).json()["emailVerifiedAt"] is not None


async def test_an_email_whose_confirmation_comes_again_is_confirmed_and_changed_once(
    world: World,
) -> None:
    ann = world.person(await world.by_phone())
    asked = await ann.post("/v1/users/me/email", json={"email": ANN})
    body = {"challengeId": asked.json()["challengeId"], "code": world.mailbox.messages[-1]["code"]}
    key = {"Idempotency-Key": "k"}
    first, repeat = [await ann.put("/v1/users/me/email", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, repeat.status_code, repeat.json()) == (200, 200, first.json())
    assert repeat.headers["etag"] == first.headers["etag"]
    assert await AuditEvent.raw().count_documents({"kind": "email_changed"}) == 1
    wrong = await ann.put(
        "/v1/users/me/email", json={**body, "code": "x"}, headers={"Idempotency-Key": "k-2"}
    )
    assert wrong.status_code == 422
    again = await ann.put("/v1/users/me/email", json=body, headers={"Idempotency-Key": "k-2"})
    assert again.json()["errors"][0]["pointer"] == "/code"


async def test_an_identity_whose_linking_comes_again_is_the_one_that_was_linked(
    world: World,
) -> None:
    ann = world.person(await world.by_email(ANN))
    token = {"provider": "google", "idToken": world.issuer.token("g-7"), "nonce": NONCE}
    await world.may_ask_again()
    asked = await ann.post("/v1/users/me/identities/challenges", json={"phoneNumber": PHONE})
    code = {"challengeId": asked.json()["challengeId"], "code": world.mailbox.code(PHONE)}
    for body in (token, {"provider": "phone", **code}):
        key = {"Idempotency-Key": str(body["provider"])}
        first, repeat = [
            await ann.post("/v1/users/me/identities", json=body, headers=key) for _ in range(2)
        ]
        assert (first.status_code, repeat.status_code, repeat.json()) == (201, 201, first.json())
        assert repeat.headers["location"] == first.headers["location"]
        assert (await ann.post("/v1/users/me/identities", json=body)).status_code == 422
        await ann.delete(first.headers["location"])
        gone = await ann.post("/v1/users/me/identities", json=body, headers=key)
        assert (gone.status_code, gone.json()["code"]) == (404, "result_gone")
    assert await AuditEvent.raw().count_documents({"kind": "identity_linked"}) == 2


async def test_racing_repeats_of_a_confirmation_are_one(world: World) -> None:
    ann = world.person(await world.by_phone())
    asked = await ann.post("/v1/users/me/email", json={"email": ANN})
    body = {"challengeId": asked.json()["challengeId"], "code": world.mailbox.messages[-1]["code"]}
    answers = await asyncio.gather(
        *(
            ann.put("/v1/users/me/email", json=body, headers={"Idempotency-Key": "k"})
            for _ in range(4)
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "in_flight"
    }
    assert 200 in {answer.status_code for answer in answers}
    assert await AuditEvent.raw().count_documents({"kind": "email_changed"}) == 1
