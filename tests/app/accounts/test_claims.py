"""What an account says its users' emails are: shown to it, kept from nobody, and no way to learn
who is elsewhere."""

import asyncio
from typing import Any

import httpx2
import pytest

from models import User
from tests.app.auth.conftest import World, _outside, outside, world  # noqa: F401
from tests.harness import Caller

ANN = "ann@example.com"


async def tenant(world: World) -> tuple[Caller, str]:  # noqa: F811
    """A key that is bound to an account, and the account's users' path."""
    admin = await world.api.key("admin")
    account = (await admin.post("/v1/accounts", json={"name": "Tenant"})).json()["id"]
    key = await world.api.key("accounts:read", "accounts:write", account_id=account)
    return key, f"/v1/accounts/{account}/users"


def but(answer: httpx2.Response, *names: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if name not in names}


async def registered(world: World, how: str) -> None:  # noqa: F811
    """Somebody has the address elsewhere."""
    admin = await world.api.key("admin")
    if how == "verified":
        world.person(await world.by_email(ANN))
    elif how == "unverified":
        await admin.post("/v1/users", json={"email": ANN})
    elif how == "claimed":
        other, path = await tenant(world)
        assert (await other.post(path, json={"email": ANN})).status_code == 201


@pytest.mark.parametrize("how", ["verified", "unverified", "claimed"])
async def test_a_taken_address_and_a_free_one_look_alike_to_an_account(
    world: World,  # noqa: F811
    how: str,
) -> None:
    await registered(world, how)
    key, path = await tenant(world)
    taken = await key.post(
        path, json={"email": ANN, "name": "n"}, headers={"Idempotency-Key": "k1"}
    )
    free = await key.post(
        path, json={"email": "free@example.com", "name": "n"}, headers={"Idempotency-Key": "k2"}
    )
    names = ("id", "email", "createdAt", "updatedAt")
    assert (taken.status_code, but(taken, *names)) == (free.status_code, but(free, *names))
    assert (taken.status_code, taken.json()["email"], taken.json()["version"]) == (201, ANN, 1)
    again = await key.post(
        path, json={"email": ANN, "name": "n"}, headers={"Idempotency-Key": "k1"}
    )
    assert (again.status_code, again.json()) == (201, taken.json())
    listed = (await key.get(path)).json()["items"]
    assert [one["email"] for one in listed] == ["free@example.com", ANN]


@pytest.mark.parametrize("proof", ["by-code", "by-google", "by-confirming"])
async def test_an_account_sees_no_change_when_somebody_proves_its_users_address(
    world: World,  # noqa: F811
    proof: str,
) -> None:
    key, path = await tenant(world)
    await key.post(path, json={"email": ANN})
    before = (await key.get(path)).json()
    if proof == "by-code":
        person = world.person(await world.by_email(ANN))
    elif proof == "by-google":
        person = world.person(
            await world.by_token("google", "g-1", email=ANN, email_verified=True, hd="example.com")
        )
    else:
        person = world.person(await world.by_phone())
        asked = (await person.post("/v1/users/me/email", json={"email": ANN})).json()
        answer = {"challengeId": asked["challengeId"], "code": world.mailbox.messages[-1]["code"]}
        assert (await person.put("/v1/users/me/email", json=answer)).status_code == 200
    me = (await person.get("/v1/users/me")).json()
    assert (me["email"], me["emailVerifiedAt"] is not None) == (ANN, True)
    assert (await key.get(path)).json() == before
    second = await key.post(path, json={"email": ANN})
    assert (second.status_code, second.json()["errors"][0]["pointer"]) == (
        409,
        "/email",
    )  # its own user has it


async def test_two_users_of_one_account_do_not_have_one_address(world: World) -> None:  # noqa: F811
    key, path = await tenant(world)
    answers = await asyncio.gather(*(key.post(path, json={"email": ANN}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (refused["code"], refused["errors"][0]["pointer"]) == ("duplicate", "/email")
    assert "claimed" not in str(refused)


async def test_a_claim_is_given_up_where_the_user_gets_an_email(world: World) -> None:  # noqa: F811
    key, path = await tenant(world)
    user = (await key.post(path, json={"email": ANN})).json()["id"]
    admin = await world.api.key("admin")
    assert (await admin.get(f"/v1/users/{user}")).json()["email"] == ANN
    assert (await admin.get("/v1/users", params={"email": ANN})).json()["items"] == []
    same = await admin.merge(f"/v1/users/{user}", {"email": ANN})
    assert (same.status_code, same.json()["version"]) == (200, 1)
    changed = await admin.merge(f"/v1/users/{user}", {"email": "other@example.com"})
    assert (changed.status_code, changed.json()["email"]) == (200, "other@example.com")
    removed = await admin.merge(f"/v1/users/{user}", {"email": None})
    assert (removed.status_code, removed.json()["email"]) == (200, None)
    assert (await User.raw().find_one({"claimedEmail": ANN})) is None


async def test_an_address_of_before_is_shown_to_its_account_after_somebody_proved_it(
    world: World,  # noqa: F811
) -> None:
    """Of a user whom an earlier version gave the address itself."""
    key, path = await tenant(world)
    await key.post(path, json={"name": "n"})
    await User.raw().update_one({}, {"$set": {"email": ANN}})
    person = world.person(await world.by_email(ANN))
    assert (await person.get("/v1/users/me")).json()["email"] == ANN
    (shown,) = (await key.get(path)).json()["items"]
    assert (shown["email"], shown["emailVerifiedAt"]) == (ANN, None)
