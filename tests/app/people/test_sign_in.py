"""A person who was imported signs in by a code, to what is their own."""

from typing import Any

import pytest

from models import User
from tests.app.auth.conftest import PHONE, World, _outside, outside, world
from tests.app.people.conftest import ndjson

__all__ = ["_outside", "outside", "world"]
NOTES = [{"appId": "notes", "dataKey": "old", "value": "ten years of notes"}]
LINE: dict[str, Any] = {
    "user": {"email": "Imported@Example.com", "phone": PHONE, "name": "Imported"},
    "appData": NOTES,
}


async def imported(world: World, line: Any) -> str:
    key = await world.api.key("users:import")
    answer = await key.post("/v1/users/import", content=ndjson(line))
    assert answer.json()["status"] == "created", answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("way", ["email", "phone"])
async def test_whom_the_import_vouches_for_is_at_home_at_once(world: World, way: str) -> None:
    user_id = await imported(world, LINE | {"verified": ["email", "phone"]})
    signed_in = await (
        world.by_email("imported@example.com") if way == "email" else world.by_phone(PHONE)
    )
    assert (signed_in.json()["userId"], signed_in.json()["created"]) == (user_id, False)
    me = world.api.caller(signed_in.json()["accessToken"])
    assert (await me.get("/v1/users/me/apps/notes/data/old")).json() == "ten years of notes"
    assert (await me.get("/v1/users/me")).json()["emailVerifiedAt"] is not None


async def test_by_a_provider_that_is_told_they_are_at_home_too(world: World) -> None:
    google = {"provider": "google", "providerId": "g-7"}
    user_id = await imported(world, {"user": {"name": "Ann"}, "identities": [google]})
    signed_in = await world.by_token("google", "g-7")
    assert (signed_in.json()["userId"], signed_in.json()["created"]) == (user_id, False)


async def test_an_email_that_nobody_vouches_for_goes_to_whoever_proves_it(world: World) -> None:
    line = {"user": {"email": "imported@example.com"}, "appData": NOTES}
    user_id = await imported(world, line)
    signed_in = await world.by_email("imported@example.com")
    assert signed_in.json()["userId"] != user_id
    row = await User.raw().find_one({"email": "imported@example.com"})
    assert row is not None and str(row["_id"]) == signed_in.json()["userId"]
