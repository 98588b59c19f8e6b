"""Guests: they have what any user has, and take it along when they sign in."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.auth.identities.guests import takes_guests
from app.relations.merging.guests import look_after
from app.work import HOOKS
from models import AuthIdentity, RefreshToken
from models.base import now
from models.user import User
from tests.app.auth.conftest import World
from tests.conftest import MakeApi
from tests.harness import Caller

NOTES = "/v1/users/me/apps/notes/data"
MAIL = "ann@example.com"


async def guest(world: World, **body: Any) -> tuple[Caller, Any]:
    answer = await world.nobody.post("/v1/auth/guests", json=body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    return world.api.caller(told["accessToken"], told["userId"]), told


async def row_of(user_id: str) -> Any:
    return await User.raw().find_one({"_id": ObjectId(user_id)})


async def test_a_guest_has_app_data_as_any_user(world: World) -> None:
    caller, told = await guest(world, deviceInfo="Ann's phone")
    assert told["created"] is True
    assert (await caller.put(f"{NOTES}/k", json=1)).status_code == 201
    assert (await caller.get("/v1/users/me")).json()["authMethods"] == ["guest"]
    again = await world.refresh(told["refreshToken"])
    assert (again.status_code, again.json()["userId"]) == (200, caller.id)
    other, _ = await guest(world)
    assert (await other.get(f"/v1/users/{caller.id}/apps/notes/data/k")).status_code == 404


@pytest.mark.parametrize("way", ["phone", "email"])
async def test_who_is_new_keeps_their_id_and_all_that_is_theirs(world: World, way: str) -> None:
    caller, told = await guest(world)
    await caller.put(f"{NOTES}/k", json=1)
    if way == "phone":
        signed = await world.by_phone(guestToken=told["refreshToken"])
    else:
        signed = await world.by_email(MAIL, guestToken=told["refreshToken"])
    body = signed.json()
    assert (body["userId"], body["created"]) == (caller.id, False)
    assert body["guest"] == {"state": "became", "conflicts": []}
    person = world.person(signed)
    assert (await person.get(f"{NOTES}/k")).json() == 1
    known = (await person.get("/v1/users/me")).json()
    assert (known["authMethods"], known["email"]) == ([way], MAIL if way == "email" else None)
    assert (await world.refresh(told["refreshToken"])).status_code == 200  # sessions go on
    assert await AuthIdentity.raw().count_documents({"provider": "guest"}) == 0
    assert "guestUntil" not in await row_of(caller.id)
    methods = [row["authMethod"] async for row in RefreshToken.raw().find({})]
    assert methods == [way, way]


async def test_who_is_there_has_what_the_guest_had(world: World) -> None:
    ann = world.person(await world.by_phone())
    await ann.put(f"{NOTES}/mine", json=1)
    caller, told = await guest(world)
    await caller.put(f"{NOTES}/theirs", json=2)
    await world.may_ask_again()
    signed = await world.by_phone(guestToken=told["refreshToken"])
    assert (signed.json()["userId"], signed.json()["guest"]["state"]) == (ann.id, "merged")
    items = (await world.person(signed).get(NOTES)).json()["items"]
    assert {each["dataKey"]: each["value"] for each in items} == {"mine": 1, "theirs": 2}
    assert await row_of(caller.id) is None
    assert (await ann.get("/v1/users/me")).json()["authMethods"] == ["phone"]
    assert (await caller.put(f"{NOTES}/late", json=1)).status_code == 404


async def test_nothing_is_lost_where_both_have_something(world: World) -> None:
    ann = world.person(await world.by_phone())
    await ann.put(f"{NOTES}/k", json="mine")
    caller, told = await guest(world)
    await caller.put(f"{NOTES}/k", json="theirs")
    await world.may_ask_again()
    signed = await world.by_phone(guestToken=told["refreshToken"])
    conflict = {"kind": "appData", "appId": "notes", "dataKey": "k"}
    assert signed.json()["guest"] == {"state": "kept", "conflicts": [conflict]}
    person = world.person(signed)
    assert (await person.get(f"{NOTES}/k")).json() == "mine"
    assert (await caller.get(f"{NOTES}/k")).json() == "theirs"
    body = {"guestToken": told["refreshToken"]}
    asked = await person.post("/v1/users/me/guests", json=body)
    assert (asked.status_code, asked.json()["conflicts"]) == (409, [conflict])
    done = await person.post("/v1/users/me/guests", json={**body, "keep": "source"})
    assert (done.status_code, done.json()["into"]) == (200, person.id)
    assert (await person.get(f"{NOTES}/k")).json() == "theirs"
    again = await person.post("/v1/users/me/guests", json={**body, "keep": "source"})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/guestToken")


async def test_a_token_of_a_person_is_no_guests(world: World) -> None:
    """Whoever has somebody's refresh token does not get what is theirs by it."""
    ann = await world.by_phone()
    bob = await world.by_email("bob@example.com", guestToken=ann.json()["refreshToken"])
    assert (bob.json()["created"], bob.json()["guest"]["state"]) == (True, "gone")
    body = {"guestToken": ann.json()["refreshToken"], "keep": "target"}
    assert (await world.person(bob).post("/v1/users/me/guests", json=body)).status_code == 422
    assert await row_of(ann.json()["userId"]) is not None


async def test_a_token_that_was_rotated_away_is_no_guests(world: World) -> None:
    """A stolen one does not outlive what it was stolen from; that before the last does, since its
    answer may have been lost."""
    caller, told = await guest(world)
    await caller.put(f"{NOTES}/k", json="theirs")
    tokens = [told["refreshToken"]]
    for _ in range(2):
        tokens.append((await world.refresh(tokens[-1])).json()["refreshToken"])
    ann = await world.by_phone(guestToken=tokens[0])
    assert ann.json()["guest"]["state"] == "gone"
    person = world.person(ann)
    body = {"guestToken": tokens[0], "keep": "source"}
    assert (await person.post("/v1/users/me/guests", json=body)).status_code == 422
    body = {"guestToken": tokens[1], "keep": "source"}
    assert (await person.post("/v1/users/me/guests", json=body)).status_code == 200
    assert (await person.get(f"{NOTES}/k")).json() == "theirs"


async def test_there_are_none_in_production_unless_it_is_set(make_api: MakeApi) -> None:
    api = await make_api(guests=False)
    assert (await api.caller(None).post("/v1/auth/guests")).status_code == 404
    settings = api.settings.model_copy(update={"environment": "production", "guests": None})
    assert not takes_guests(settings)
    assert takes_guests(settings.model_copy(update={"guests": True}))


async def test_an_address_begins_so_often_and_no_more(make_api: MakeApi) -> None:
    nobody = (await make_api(guests_per_client_per_hour=2)).caller(None)
    answers = [await nobody.post("/v1/auth/guests") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert await User.raw().count_documents({}) == 2


async def lapsed(user_id: str) -> Any:
    """The stored guest, whose time is over."""
    past = now() - timedelta(days=1)
    await User.raw().update_one({"_id": ObjectId(user_id)}, {"$set": {"guestUntil": past}})
    (row,) = await User.find_lapsed_guests(now(), 5)
    return row


async def test_who_never_came_back_is_deleted_and_who_did_is_not(world: World) -> None:
    caller, told = await guest(world)
    await caller.put(f"{NOTES}/k", json=1)
    await look_after(await lapsed(caller.id), world.api.settings, HOOKS)
    assert (await row_of(caller.id))["guestUntil"] > now() + timedelta(days=29)
    long_ago = {"$set": {"lastUsedAt": now() - timedelta(days=40)}}
    await RefreshToken.raw().update_one({"_id": ObjectId(told["sessionId"])}, long_ago)
    await look_after(await lapsed(caller.id), world.api.settings, HOOKS)
    assert await row_of(caller.id) is None
    assert await User.find_lapsed_guests(now(), 5) == []


async def test_who_became_a_person_meanwhile_stays(world: World) -> None:
    caller, told = await guest(world)
    row = await lapsed(caller.id)
    await world.by_phone(guestToken=told["refreshToken"])
    await RefreshToken.raw().delete_many({})
    await look_after(row, world.api.settings, HOOKS)
    assert (await row_of(caller.id))["authMethods"] == ["phone"]


async def test_a_guests_session_lasts_while_they_come(world: World) -> None:
    _, told = await guest(world)
    over = now() + timedelta(minutes=1)
    family = {"_id": ObjectId(told["sessionId"])}
    await RefreshToken.raw().update_one(family, {"$set": {"endsAt": over}})
    assert (await world.refresh(told["refreshToken"])).status_code == 200
    session = await RefreshToken.raw().find_one(family) or {}
    assert session["expiresAt"] > now() + timedelta(days=20)
