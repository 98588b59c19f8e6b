"""Sessions: rotated, repeated when an answer was lost, ended one by one or together, over when
their time is over."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import Any

import jwt
import pytest
from bson import ObjectId

from models import RefreshToken
from models.base import now
from tests.app.auth.conftest import World
from tests.conftest import MakeApi
from tests.harness import Caller


async def begun(world: World, **device: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await world.by_token("google", "g-1", device=device)).json()
    return found


def caller_of(world: World, tokens: dict[str, Any]) -> Caller:
    return world.api.caller(tokens["accessToken"], tokens["userId"])


async def age(tokens: dict[str, Any], **fields: Any) -> None:
    await RefreshToken.raw().update_one({"_id": ObjectId(tokens["sessionId"])}, {"$set": fields})


async def test_a_refresh_token_is_256_bits_and_stored_as_a_keyed_hash(world: World) -> None:
    tokens = await begun(world, deviceInfo="Ann's phone")
    raw = urlsafe_b64decode(tokens["refreshToken"].removeprefix("rt_") + "==")
    row = await RefreshToken.raw().find_one({})
    assert row is not None
    assert (len(raw), len(row["tokenHash"]), row["deviceInfo"]) == (64, 64, "Ann's phone")
    assert tokens["refreshToken"] not in str(row)
    assert row["tokenHash"] not in repr(RefreshToken.from_stored(row))
    claims = jwt.decode(tokens["accessToken"], options={"verify_signature": False})
    assert (claims["sid"], claims["sub"], claims["roles"]) == (
        tokens["sessionId"],
        tokens["userId"],
        ["user"],
    )


@pytest.mark.parametrize("days", [0, 29])
async def test_a_repeat_gets_the_successor_that_nobody_has_used_however_late(
    world: World, days: int
) -> None:
    """The answer may have been lost, and the client asleep since."""
    tokens = await begun(world)
    lost = (await world.refresh(tokens["refreshToken"])).json()
    await age(tokens, rotatedAt=now() - timedelta(days=days))
    found = [(await world.refresh(tokens["refreshToken"])).json()["refreshToken"] for _ in range(2)]
    assert found == [lost["refreshToken"]] * 2
    assert (await world.refresh(found[0])).status_code == 200


async def test_a_repeat_after_the_successor_was_used_ends_the_session(world: World) -> None:
    tokens = await begun(world)
    second = (await world.refresh(tokens["refreshToken"])).json()
    third = (await world.refresh(second["refreshToken"])).json()
    assert (await world.refresh(second["refreshToken"])).json()["refreshToken"] == third[
        "refreshToken"
    ]
    assert (await world.refresh(tokens["refreshToken"])).status_code == 401
    assert (await world.refresh(third["refreshToken"])).status_code == 401


async def test_a_session_is_over_after_its_longest_life_or_unused(
    make_api: MakeApi, world: World
) -> None:
    api = await make_api(**world.settings, session_days=30, session_idle_days=7)
    world.api = api
    tokens = await begun(world)
    row = await RefreshToken.raw().find_one({})
    assert row is not None
    assert timedelta(days=6, hours=23) < row["expiresAt"] - now() < timedelta(days=7, seconds=1)
    await age(tokens, endsAt=now() + timedelta(days=1))
    tokens = (await world.refresh(tokens["refreshToken"])).json()
    row = await RefreshToken.raw().find_one({})
    assert row is not None and row["expiresAt"] == row["endsAt"]
    await age(tokens, expiresAt=now())
    assert (await world.refresh(tokens["refreshToken"])).status_code == 401
    assert await RefreshToken.raw().count_documents({}) == 1


async def test_another_device_than_the_fifth_ends_the_oldest(world: World) -> None:
    devices = [await begun(world, deviceInfo=f"device {number}") for number in range(6)]
    last = caller_of(world, devices[-1])
    listed = [one["deviceInfo"] for one in (await last.get("/v1/auth/sessions")).json()["items"]]
    assert listed == [f"device {number}" for number in (5, 4, 3, 2, 1)]
    assert (await world.refresh(devices[0]["refreshToken"])).status_code == 401


async def test_an_ended_session_stops_for_what_is_sensitive_at_once_and_reads_until_its_token_ends(
    world: World,
) -> None:
    lost, kept = await begun(world), await begun(world)
    thief, ann = caller_of(world, lost), caller_of(world, kept)
    assert (await ann.delete(f"/v1/auth/sessions/{lost['sessionId']}")).status_code == 204
    assert (await thief.get("/v1/users/me")).status_code == 200
    sensitive = [
        await thief.merge("/v1/users/me", {"name": "x"}),
        await thief.delete("/v1/users/me"),
        await thief.get("/v1/auth/sessions"),
        await thief.delete("/v1/auth/sessions"),
        await thief.put("/v1/users/me/role", json={"role": "brand"}),
        await thief.post("/v1/users/me/email", json={"email": "thief@example.com"}),
        await thief.post("/v1/users/me/identities", json={"provider": "google"}),
        await thief.post("/v1/auth/logout"),
    ]
    assert {answer.status_code for answer in sensitive} == {401}
    assert (await ann.get("/v1/users/me")).json()["version"] == (
        await ann.get("/v1/users/me")
    ).json()["version"]
    assert (await world.refresh(lost["refreshToken"])).status_code == 401


async def test_ending_the_others_ends_what_servers_minted_too(world: World) -> None:
    ann = caller_of(world, await begun(world))
    server = await world.api.key("sessions:write")
    minted = (await server.post(f"/v1/users/{ann.id}/sessions")).json()["accessToken"]
    bought = world.api.caller(minted, ann.id)
    assert (await bought.get("/v1/auth/sessions")).status_code == 200
    assert (await ann.delete("/v1/auth/sessions")).status_code == 204
    assert (await bought.get("/v1/auth/sessions")).status_code == 401
    assert (await ann.get("/v1/auth/sessions")).status_code == 200


async def test_nobody_ends_anothers_session(world: World) -> None:
    tokens = await begun(world)
    stranger = world.person(await world.by_token("google", "g-2"))
    assert (await stranger.delete(f"/v1/auth/sessions/{tokens['sessionId']}")).status_code == 404
    assert (await stranger.delete("/v1/auth/sessions/nonsense")).status_code == 404
    assert (await stranger.delete("/v1/auth/sessions")).status_code == 204
    assert (await world.refresh(tokens["refreshToken"])).status_code == 200


async def test_logout_takes_the_refresh_token_where_the_access_token_is_over(world: World) -> None:
    tokens = await begun(world)
    body = {"refreshToken": tokens["refreshToken"]}
    assert (await world.nobody.post("/v1/auth/logout", json=body)).status_code == 204
    assert (await world.refresh(tokens["refreshToken"])).status_code == 401
    assert (await world.nobody.post("/v1/auth/logout", json=body)).status_code == 204
    assert (await world.nobody.post("/v1/auth/logout")).status_code == 401
    twice = [("Authorization", f"Bearer {(await begun(world))['accessToken']}")] * 2
    assert (await world.api.client.post("/v1/auth/logout", headers=twice)).status_code == 401
    assert (
        await world.nobody.post("/v1/auth/logout", json={"refreshToken": "rt_x"})
    ).status_code == 401


async def test_a_session_of_one_app_stays_one_of_that_app(world: World) -> None:
    tokens = await begun(world, appId="notes")
    renewed = caller_of(world, (await world.refresh(tokens["refreshToken"])).json())
    assert (await renewed.put("/v1/users/me/apps/notes/data/k", json=1)).status_code == 201
    assert (await renewed.put("/v1/users/me/apps/boats/data/k", json=1)).status_code == 404
    assert (await renewed.put("/v1/users/me/role", json={"role": "brand"})).status_code == 403
    assert (await renewed.delete("/v1/auth/sessions")).status_code == 403


async def test_roles_reach_the_token_with_the_next_refresh(world: World) -> None:
    tokens = await begun(world)
    admin = await world.api.key("admin")
    assert (
        await admin.merge(f"/v1/users/{tokens['userId']}", {"roles": ["user", "editor"]})
    ).status_code == 200
    renewed = (await world.refresh(tokens["refreshToken"])).json()
    assert jwt.decode(renewed["accessToken"], options={"verify_signature": False})["roles"] == [
        "user",
        "editor",
    ]


@pytest.mark.parametrize(
    "change", ["family", "generation", "salt", "mac", "cut", "longer", "prefix", "text"]
)
async def test_a_forged_refresh_token_is_401_and_ends_nothing(world: World, change: str) -> None:
    token = (await begun(world))["refreshToken"]
    raw = bytearray(urlsafe_b64decode(token.removeprefix("rt_") + "=="))
    place = {"family": 3, "generation": 15, "salt": 20, "mac": 40}.get(change)
    if place is not None:
        raw[place] ^= 1
    spelled = "rt_" + urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    forged = {
        "cut": token[:-1],
        "longer": token + "A",
        "prefix": token[3:],
        "text": "rt_\u00e9\u4e2d",
    }.get(change, spelled)
    assert (await world.refresh(forged)).status_code == 401
    assert (
        await world.nobody.post("/v1/auth/logout", json={"refreshToken": forged})
    ).status_code == 401
    assert (await world.refresh(token)).status_code == 200
