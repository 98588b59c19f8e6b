"""Emails that somebody takes."""

import httpx2

from tests.app.auth.conftest import World
from tests.harness import Caller

ANN = "ann@example.com"


async def put_email(world: World, caller: Caller, address: str = ANN) -> httpx2.Response:
    """Prove an address by `PUT /v1/users/me/email`."""
    asked = await caller.post("/v1/users/me/email", json={"email": address})
    assert asked.status_code == 202, asked.text
    answer = {
        "challengeId": asked.json()["challengeId"],
        "code": world.mailbox.messages[-1]["code"],
    }
    return await caller.put("/v1/users/me/email", json=answer)


async def by_code(world: World) -> Caller:
    return world.person(await world.by_email(ANN))


async def by_google(world: World) -> Caller:
    return world.person(
        await world.by_token("google", "g-1", email=ANN, email_verified=True, hd="example.com")
    )


async def by_confirming(world: World) -> Caller:
    person = world.person(await world.by_phone("+14155550199"))
    changed = await put_email(world, person)
    assert changed.status_code == 200, changed.text
    return person


async def changed(world: World) -> str:
    """By a server that changes a user's address."""
    ann = world.person(await world.by_phone())
    key = await world.api.key("users:read", "users:write")
    assert (await key.merge(f"/v1/users/{ann.id}", {"email": ANN})).status_code == 200
    return ann.id
