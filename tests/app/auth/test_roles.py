"""Roles: one is chosen, the others are granted, admins are seen to be admins at each call."""

import pytest
from bson import ObjectId

from models import AuditEvent, RefreshToken, User
from tests.app.auth.conftest import World
from tests.conftest import MakeApi
from tests.harness import Caller


async def person(world: World, subject: str = "g-1") -> Caller:
    return world.person(await world.by_token("google", subject))


@pytest.mark.parametrize("role", ["creator", "agency", "brand", "gifter"])
async def test_the_seeds_roles_are_for_choosing(world: World, role: str) -> None:
    ann = await person(world)
    assert (await ann.put("/v1/users/me/role", json={"role": role})).json()["role"] == role
    trail = await AuditEvent.raw().find_one({"kind": "role_chosen"})
    assert trail is not None
    assert (trail["by"], trail["detail"]) == (f"user:{ann.id}", {"role": role})


async def test_admin_is_never_for_choosing(world: World) -> None:
    ann = await person(world)
    refused = await ann.put("/v1/users/me/role", json={"role": "admin"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (403, "/role")
    assert (await ann.put("/v1/users/me/role", json={"role": "king"})).status_code == 422
    for patch in (
        {"role": "admin"},
        {"roles": ["admin"]},
        {"permissions": ["all"]},
        {"authMethods": ["phone"]},
    ):
        assert (await ann.merge("/v1/users/me", patch)).status_code in (403, 422)
    me = (await ann.get("/v1/users/me")).json()
    assert (me["role"], me["roles"], me["permissions"]) == (None, ["user"], [])


async def test_what_is_for_choosing_is_a_setting(make_api: MakeApi, world: World) -> None:
    world.api = await make_api(**world.settings, selectable_roles=["brand"])
    ann = await person(world)
    assert (await ann.put("/v1/users/me/role", json={"role": "creator"})).status_code == 403
    assert (await ann.put("/v1/users/me/role", json={"role": "brand"})).status_code == 200


@pytest.mark.parametrize("grant", [{"role": "admin"}, {"roles": ["user", "admin"]}])
async def test_an_admin_is_one_at_once_and_no_longer_at_once(
    world: World, grant: dict[str, object]
) -> None:
    ann, bob = await person(world), await person(world, "g-2")
    key = await world.api.key("admin")
    assert (await ann.get("/v1/admin/jobs")).status_code == 403
    assert (await key.merge(f"/v1/users/{ann.id}", grant)).status_code == 200
    assert (await ann.get("/v1/admin/jobs")).status_code == 200
    assert (await ann.get("/v1/users")).status_code == 200
    renewed = world.person(await world.by_token("google", "g-1"))
    assert (await renewed.get(f"/v1/users/{bob.id}")).json()["id"] == bob.id
    assert (await renewed.get(f"/v1/users/{bob.id}/apps/notes/data/k")).json()[
        "code"
    ] == "not_found"
    assert (
        await renewed.merge(f"/v1/users/{bob.id}", {"roles": ["user", "editor"]})
    ).status_code == 200
    assert (await ann.put("/v1/users/me/role", json={"role": "brand"})).status_code == (
        403 if "role" in grant else 200
    )
    assert (
        await key.merge(f"/v1/users/{ann.id}", {"role": None, "roles": ["user"]})
    ).status_code == 200
    for token in (ann, renewed):
        assert (await token.get("/v1/admin/jobs")).status_code == 403
        assert (await token.get(f"/v1/users/{bob.id}")).status_code == 404
    grants = await AuditEvent.raw().count_documents({"kind": "grant", "userId": ObjectId(ann.id)})
    assert grants == 2


async def test_an_admin_whose_session_has_ended_is_nobody(world: World) -> None:
    ann = await person(world)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    ann = await person(world)
    assert (await ann.get("/v1/users")).status_code == 200
    await RefreshToken.raw().delete_many({})
    assert (await ann.get("/v1/users")).status_code == 401
    assert (await ann.get("/v1/users/me")).status_code == 401


async def test_an_admins_token_of_one_app_is_no_admins(world: World) -> None:
    ann = await person(world)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    bound = world.person(await world.by_token("google", "g-1", device={"appId": "notes"}))
    assert (await bound.get("/v1/admin/jobs")).status_code == 403


async def test_grants_are_recorded_with_who_what_and_whom(world: World) -> None:
    key = await world.api.key("admin")
    made = (await key.post("/v1/users", json={"roles": ["user", "editor"]})).json()
    await key.merge(f"/v1/users/{made['id']}", {"permissions": ["publish"], "name": "Ann"})
    trail = (
        await key.get("/v1/admin/audit", params={"userId": made["id"], "kind": "grant"})
    ).json()["items"]
    assert [one["detail"] for one in trail] == [
        {"permissions": {"from": [], "to": ["publish"]}},
        {"roles": {"to": ["user", "editor"]}},
    ]
    assert {one["by"] for one in trail} == {trail[0]["by"]}
    assert trail[0]["by"].startswith("key:")
    page = (await key.get("/v1/admin/audit", params={"limit": 1})).json()
    rest = (await key.get("/v1/admin/audit", params={"cursor": page["nextCursor"]})).json()
    assert (page["items"] + rest["items"])[:2] == trail
    assert (await key.get("/v1/admin/audit", params={"userId": "x"})).status_code == 422


async def test_the_trail_is_kept_for_as_long_as_the_setting_says(
    make_api: MakeApi, world: World
) -> None:
    world.api = await make_api(**world.settings, audit_days=7)
    ann = await person(world)
    await ann.put("/v1/users/me/role", json={"role": "brand"})
    row = await AuditEvent.raw().find_one({"kind": "role_chosen"})
    assert row is not None
    assert (row["expiresAt"] - row["at"]).days == 7


@pytest.mark.parametrize("grant", [{"role": "admin"}, {"roles": ["user", "admin"]}])
async def test_a_key_that_mints_tokens_becomes_no_admin_by_them(
    world: World, grant: dict[str, object]
) -> None:
    ann = await person(world)
    server, path = await world.api.key("sessions:write"), f"/v1/users/{ann.id}/sessions"
    before = world.api.caller((await server.post(path)).json()["accessToken"], ann.id)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": grant})
    refused = await server.post(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await before.get("/v1/admin/jobs")).status_code == 403
    assert (
        await before.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"]})
    ).status_code == 403
    key = await world.api.key("admin")
    minted = world.api.caller((await key.post(path)).json()["accessToken"], ann.id)
    assert (await minted.get("/v1/admin/jobs")).status_code == 200
