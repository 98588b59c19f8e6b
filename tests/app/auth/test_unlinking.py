"""Identities that are linked already, are taken away, and emails that change."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from models import AuditEvent, AuthIdentity, LedgerNote, User
from tests.app.auth.conftest import PHONE, World
from tests.harness import Caller
from tests.outside.sign_in import NONCE

ANN = "ann@example.com"


async def linked(world: World, caller: Caller, provider: str, subject: str) -> Any:
    body = {"provider": provider, "idToken": world.issuer.token(subject), "nonce": NONCE}
    return await caller.post("/v1/users/me/identities", json=body)


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


async def test_a_mailbox_that_was_left_is_noted_for_a_restore(world: World) -> None:
    ann = world.person(await world.by_email(ANN))
    left = (await ann.get("/v1/users/me/identities")).json()["items"][0]["id"]
    await world.may_ask_again()
    asked = await ann.post("/v1/users/me/email", json={"email": "new@example.com"})
    body = {"challengeId": asked.json()["challengeId"], "code": world.mailbox.messages[-1]["code"]}
    assert (await ann.put("/v1/users/me/email", json=body)).status_code == 200
    [note] = await LedgerNote.raw().find({"what": "identity"}).to_list()
    assert (str(note["subject"]), str(note["who"])) == (left, ann.id)


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
