"""An inactive person keeps everything and can do nothing; active again they go on where they
were."""

from typing import Any

from bson import ObjectId

from models.activity import Activity
from models.analytics import Analytics
from models.audit_event import AuditEvent
from models.refresh_token import RefreshToken
from models.user import User
from tests.app.auth.conftest import PHONE, World, _outside, outside, world
from tests.harness import Caller

__all__ = ["_outside", "outside", "world"]


async def settled(world: World) -> tuple[Caller, Any, Caller]:
    """A person who is signed in, their tokens, and a key that may change people."""
    tokens = (await world.by_phone()).json()
    me = world.api.caller(tokens["accessToken"], tokens["userId"])
    await me.put("/v1/users/me/apps/notes/data/k", json="mine")
    return me, tokens, await world.api.key("users:write", "users:read", "sessions:write")


async def test_an_inactive_person_can_do_nothing_and_keeps_everything(world: World) -> None:
    me, tokens, key = await settled(world)
    path = f"/v1/users/{me.id}"
    made = await key.merge(path, {"status": "inactive"})
    assert (made.status_code, made.json()["status"]) == (200, "inactive")
    for answer in (
        await me.merge("/v1/users/me", {"name": "Ann"}),
        await me.get("/v1/users/me/export"),
        await me.get("/v1/auth/sessions"),
        await me.delete("/v1/users/me"),
        await world.nobody.post("/v1/auth/refresh", json={"refreshToken": tokens["refreshToken"]}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "inactive" in answer.json()["detail"]
    assert (await world.by_phone()).status_code == 403
    assert (await key.post(f"{path}/sessions")).status_code == 403
    found = (await key.get("/v1/users", params={"status": "inactive"})).json()["items"]
    assert [each["id"] for each in found] == [me.id]
    assert await RefreshToken.raw().count_documents({"userId": ObjectId(me.id)}) == 1

    assert (await key.merge(path, {"status": "active"})).status_code == 200
    again = await world.nobody.post(
        "/v1/auth/refresh", json={"refreshToken": tokens["refreshToken"]}
    )
    assert again.status_code == 200
    back = world.api.caller(again.json()["accessToken"])
    assert (await back.get("/v1/users/me/apps/notes/data/k")).json() == "mine"
    active = (await key.get("/v1/users", params={"status": "active"})).json()["items"]
    assert [each["id"] for each in active] == [me.id]
    trail = AuditEvent.raw().find({"kind": "status_changed"}).sort("_id", 1)
    changes = [row["detail"]["status"] async for row in trail]
    assert [each["to"] for each in changes] == ["inactive", "active"]


async def test_nobody_makes_themselves_active_or_inactive(world: World) -> None:
    me, _, _ = await settled(world)
    refused = await me.merge("/v1/users/me", {"status": "inactive"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (403, "/status")
    assert (await User.find_by_id(ObjectId(me.id)) or User()).status == "active"


async def test_a_sign_in_at_an_app_is_a_login_there(world: World) -> None:
    """`lastLogin`, an activity and an event, with the session or not at all."""
    await world.by_phone()
    assert await Activity.raw().count_documents({}) == 0
    signed_in = (await world.by_phone(appId="notes")).json()
    user_id = ObjectId(signed_in["userId"])
    activity = await Activity.raw().find_one({"userId": user_id}) or {}
    assert (activity["appId"], activity["eventType"]) == ("notes", "login")
    event = await Analytics.raw().find_one({"userId": user_id}) or {}
    assert (event["appId"], event["eventName"], event["eventCategory"]) == (
        "notes",
        "login",
        "engagement",
    )
    row = await User.raw().find_one({"_id": user_id}) or {}
    assert row["lastLogin"] >= activity["createdAt"].replace(microsecond=0)


async def test_an_app_that_is_not_known_uses_no_code_up(world: World) -> None:
    world.api.app.state.apps._registered_only = True
    challenge = await world.challenge(phoneNumber=PHONE)
    body = {"challengeId": challenge, "code": world.mailbox.code(PHONE)}
    refused = await world.nobody.post("/v1/auth/otp/verify", json={**body, "appId": "notes"})
    assert (refused.status_code, refused.json()["code"]) == (404, "app_not_registered")
    assert (await world.nobody.post("/v1/auth/otp/verify", json=body)).status_code == 200


async def test_an_import_makes_somebody_inactive_as_a_patch_does(world: World) -> None:
    """On the trail, and their sessions are looked at anew by what is under way."""
    me, _, key = await settled(world)
    importer = await world.api.key("users:import")
    before = await RefreshToken.raw().find_one({"userId": ObjectId(me.id)})
    line = {"user": {"phone": PHONE, "status": "active"}, "verified": ["phone"]}
    await importer.post("/v1/users/import", json=line)
    assert await AuditEvent.raw().count_documents({"kind": "status_changed"}) == 0
    line["user"]["status"] = "inactive"  # type: ignore[index]
    done = await importer.post("/v1/users/import", json=line)
    assert (done.json()["status"], done.json()["id"]) == ("updated", me.id)
    assert (await me.merge("/v1/users/me", {"name": "Ann"})).status_code == 401
    row = await AuditEvent.raw().find_one({"kind": "status_changed"})
    assert row is not None and str(row["userId"]) == me.id
    assert row["detail"] == {"status": {"from": "active", "to": "inactive"}}
    after = await RefreshToken.raw().find_one({"userId": ObjectId(me.id)})
    assert before is not None and after is not None and after["guard"] == before["guard"] + 1
    assert (await key.get(f"/v1/users/{me.id}")).json()["status"] == "inactive"
