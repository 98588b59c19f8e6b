"""An email that was given to somebody who never proved it goes to whoever proves it; who had it is
told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from bson import ObjectId

from app.auth.identities.taking import TELL, TOLD_WITHIN
from app.jobs import claim, run_one
from app.work import handlers
from models import AuditEvent, Job, User
from models.base import now
from tests.app.auth.conftest import PHONE, World
from tests.factories.emails import ANN, by_code, by_confirming, by_google, changed, put_email
from tests.harness import Caller
from tests.outside.sign_in import NONCE


async def by_code_again(world: World) -> Caller:
    """As somebody whose mailbox was held when they first signed in."""
    person = await by_code(world)
    return await _in_again(world, person, lambda: world.by_email(ANN))


async def by_google_again(world: World) -> Caller:
    person = await by_google(world)
    return await _in_again(
        world,
        person,
        lambda: world.by_token("google", "g-1", email=ANN, email_verified=True, hd="example.com"),
    )


async def _in_again(
    world: World, person: Caller, again: Callable[[], Awaitable[httpx2.Response]]
) -> Caller:
    held = await User.raw().find_one({"_id": {"$ne": ObjectId(person.id)}})
    assert held is not None
    none = {"$set": {"email": None, "emailVerifiedAt": None}}
    await User.raw().update_one({"_id": ObjectId(person.id)}, none)
    await User.raw().update_one({"_id": held["_id"]}, {"$set": {"email": ANN}})
    signed_in = world.person(await again())
    assert signed_in.id == person.id
    return signed_in


Proof = Callable[[World], Awaitable[Caller]]
PROOFS = pytest.mark.parametrize(
    "proof",
    [by_code, by_google, by_confirming, by_code_again, by_google_again],
    ids=lambda proof: proof.__name__,
)


async def made(world: World) -> str:
    """By a server, which may give a new user any address."""
    key = await world.api.key("users:write")
    return str((await key.post("/v1/users", json={"email": ANN})).json()["id"])


HOLDERS = pytest.mark.parametrize("holder", [made, changed], ids=["made", "changed"])


@PROOFS
@HOLDERS
async def test_who_proves_an_email_takes_it_from_who_never_did(
    world: World, holder: Callable[[World], Awaitable[str]], proof: Proof
) -> None:
    held = await holder(world)
    person = await proof(world)
    me = (await person.get("/v1/users/me")).json()
    assert (person.id != held, me["email"], me["emailVerifiedAt"] is not None) == (True, ANN, True)
    admin = await world.api.key("admin")
    former = (await admin.get(f"/v1/users/{held}")).json()
    assert (former["email"], former["emailVerifiedAt"]) == (None, None)
    found = (await admin.get("/v1/users", params={"email": ANN})).json()["items"]
    assert [one["id"] for one in found] == [person.id]
    trail = (
        await admin.get("/v1/admin/audit", params={"kind": "email_taken", "userId": held})
    ).json()["items"]
    assert {one["by"] for one in trail} == {f"user:{person.id}"}
    assert await Job.raw().count_documents({"kind": TELL, "progress.userId": held}) == len(trail)
    assert ANN not in str(await Job.raw().find({"kind": TELL}).to_list())


@PROOFS
async def test_nobody_takes_an_email_from_who_has_proven_it(world: World, proof: Proof) -> None:
    """By the rule of joining, a first sign-in joins them; confirming is refused."""
    ann = await by_code(world)
    await world.may_ask_again()
    if proof is by_confirming:
        person = world.person(await world.by_phone("+14155550199"))
        assert (await put_email(world, person)).status_code == 409
    elif proof in (by_code, by_google):
        assert (await proof(world)).id == ann.id
    row = await User.raw().find_one({"email": ANN})
    assert row is not None and str(row["_id"]) == ann.id
    assert await AuditEvent.raw().count_documents({"kind": "email_taken"}) == 0


async def test_who_signs_in_by_a_mailbox_keeps_it_where_a_key_made_it_unverified(
    world: World,
) -> None:
    ann = await by_code(world)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"emailVerifiedAt": None}})
    other = await by_google(world)
    assert (other.id != ann.id, (await other.get("/v1/users/me")).json()["email"]) == (True, None)
    person = world.person(await world.by_phone("+14155550199"))
    await world.may_ask_again()
    assert (await put_email(world, person)).status_code == 409
    assert (await ann.get("/v1/users/me")).json()["email"] == ANN


@pytest.mark.parametrize(
    ("provider", "claims"),
    [("google", {}), ("google", {"email_verified": False}), ("facebook", {"email_verified": True})],
    ids=["nothing-said", "not-verified", "not-trusted"],
)
async def test_what_proves_nothing_takes_nothing(
    world: World, provider: str, claims: dict[str, Any]
) -> None:
    held = await made(world)
    other = world.person(await world.by_token(provider, "x-1", email=ANN, **claims))
    assert (await other.get("/v1/users/me")).json()["email"] is None
    row = await User.raw().find_one({"email": ANN})
    assert row is not None and str(row["_id"]) == held


async def test_a_code_that_was_used_takes_nothing(world: World) -> None:
    """The email goes in the transaction that consumes the proof."""
    person = world.person(await world.by_phone("+14155550199"))
    asked = (await person.post("/v1/users/me/email", json={"email": ANN})).json()
    answer = {"challengeId": asked["challengeId"], "code": world.mailbox.messages[-1]["code"]}
    assert (await person.put("/v1/users/me/email", json=answer)).status_code == 200
    assert (await put_email(world, person, "other@example.com")).status_code == 200
    held = await made(world)
    assert (await person.put("/v1/users/me/email", json=answer)).status_code == 422
    row = await User.raw().find_one({"email": ANN})
    assert row is not None and str(row["_id"]) == held


async def test_racing_proofs_of_one_email_give_it_to_one_and_tell_once(world: World) -> None:
    held = await made(world)
    people = [world.person(await world.by_phone(f"+1415555010{number}")) for number in range(4)]
    answers = []
    for person in people:
        asked = (await person.post("/v1/users/me/email", json={"email": ANN})).json()
        answers.append(
            {"challengeId": asked["challengeId"], "code": world.mailbox.messages[-1]["code"]}
        )
    done = await asyncio.gather(
        *(
            one.put("/v1/users/me/email", json=answer)
            for one, answer in zip(people, answers, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in done) == [200, 409, 409, 409]
    assert (
        await AuditEvent.raw().count_documents({"kind": "email_taken", "userId": ObjectId(held)})
        == 1
    )
    assert await Job.raw().count_documents({"kind": TELL}) == 1


async def link(world: World, caller: Caller, **claims: Any) -> None:
    body = {"provider": "facebook", "idToken": world.issuer.token("f-1", **claims), "nonce": NONCE}
    assert (await caller.post("/v1/users/me/identities", json=body)).status_code == 201


@pytest.mark.parametrize("way", ["phone", "mailbox", "nothing"])
async def test_who_had_it_is_told_on_another_phone_or_mailbox_of_theirs(
    world: World, way: str
) -> None:
    former = world.person(
        await (world.by_phone() if way == "phone" else world.by_token("google", "g-2"))
    )
    if way == "mailbox":
        await link(world, former, email="former@example.com", email_verified=True)
    key = await world.api.key("users:read", "users:write")
    assert (await key.merge(f"/v1/users/{former.id}", {"email": ANN})).status_code == 200
    await by_code(world)
    world.mailbox.messages.clear()
    assert await run_one({TELL: handlers(world.api.settings)[TELL]})
    told = [(one["type"], one["channel"], one["to"]) for one in world.mailbox.messages]
    expected = {
        "phone": [("email_taken", "phone", PHONE)],
        "mailbox": [("email_taken", "email", "former@example.com")],
    }
    assert told == expected.get(way, [])
    job = await Job.raw().find_one({"kind": TELL})
    assert job is not None
    assert (job["state"], job["progress"]) == (
        "done",
        {"userId": former.id, "told": way != "nothing"},
    )


async def test_telling_is_tried_again_for_a_day(world: World) -> None:
    former = world.person(await world.by_phone())
    key = await world.api.key("users:read", "users:write")
    await key.merge(f"/v1/users/{former.id}", {"email": ANN})
    await by_code(world)
    world.mailbox.down = True
    doing = {TELL: handlers(world.api.settings)[TELL]}
    assert await run_one(doing)
    job = await Job.raw().find_one({"kind": TELL})
    assert job is not None and (job["state"], job["lastError"].endswith("(Unavailable)")) == (
        "due",
        True,
    )
    await Job.raw().update_one(
        {"_id": job["_id"]}, {"$set": {"runAt": now(), "createdAt": now() - TOLD_WITHIN}}
    )
    assert await run_one(doing)
    assert (await Job.raw().find_one({"kind": TELL}) or {})["state"] == "done"
    assert await claim([TELL]) is None


async def test_in_development_notices_are_printed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    former = world.person(await world.by_phone())
    key = await world.api.key("users:read", "users:write")
    await key.merge(f"/v1/users/{former.id}", {"email": ANN})
    await by_code(world)
    plain = world.api.settings.model_copy(update={"sender_url": None, "sender_secret": None})
    assert await run_one({TELL: handlers(plain)[TELL]})
    assert f"notice email_taken for {PHONE}" in capsys.readouterr().err
