"""Who is no admin neither changes nor deletes an admin, by whatever route, however the two come
together."""

import time
from typing import Any

import pytest
from bson import ObjectId

from app.identity import caller as caller_module
from app.main import declared_rules
from models import User
from models.base import Raw
from models.person import IdentityJoin
from tests.cast import Cast
from tests.factories.grants import GRANTS, REFUSED, signed_in
from tests.factories.operations import ALL_SCOPES, asked, everything_of
from tests.factories.posted import there
from tests.harness import Api, Caller

ACCESS = declared_rules()

WRITES = sorted(
    route
    for route, access in ACCESS.items()
    if access.scope == "users:write" and not route.startswith("GET ") and route != "POST /v1/users"
    if "/joins/" not in route
)
"""What a key with `users:write` does to a user who is there. Decisions on joins name their user by
an id of an app."""
OWN_WRITES = sorted(
    route
    for route, access in ACCESS.items()
    if access.owner and not route.startswith("GET ") and (access.scope in ("users:write", None))
)
UNSERVED = (
    "have `person` (this file) store what no POST to the path before makes, `CANNOT_SERVE`"
    " (tests/factories/bodies.py) give it another body, or `WRITES` (this file) leave it out, with"
    " a test of its own"
)


async def person(cast: Cast, **grant: Any) -> str:
    made = await cast.admin.post("/v1/users", json={"name": "Ann", **grant})
    assert made.status_code == 201
    return str(made.json()["id"])


async def every_scope(api: Api) -> Caller:
    """A key that has every scope but `admin`."""
    return await api.key(*ALL_SCOPES)


def test_the_routes_that_write_users_are_among_them() -> None:
    """The others follow from the rules: no list to add to."""
    assert {
        "DELETE /v1/users/{userId}",
        "PATCH /v1/users/{userId}",
        "PATCH /v1/users/{userId}/preferences",
        "PATCH /v1/users/{userId}/profile",
        "PUT /v1/apps/{appId}/external-ids/{externalId}",
        "PUT /v1/users/{userId}/preferences",
        "PUT /v1/users/{userId}/profile",
    } <= set(WRITES)


@GRANTS
@pytest.mark.parametrize("route", WRITES)
async def test_a_key_that_writes_users_leaves_admins_alone(
    cast: Cast, api: Api, route: str, grant: dict[str, Any]
) -> None:
    key = await every_scope(api)
    admin = Caller(api.client, None, await person(cast, **grant))
    ids = await there(cast.admin, route, admin.id)
    before = await everything_of(admin)
    refused = await asked(key, route, admin.id, **ids)
    assert (refused.status_code, refused.json()["code"], refused.json()["detail"]) == (
        403,
        "forbidden",
        REFUSED,
    )
    assert await everything_of(admin) == before
    other = await person(cast, roles=["user", "editor"])
    done = await asked(key, route, other, **await there(cast.admin, route, other))
    assert done.is_success, f"{done.text}: {UNSERVED}"
    assert (await asked(cast.admin, route, admin.id, **ids)).is_success


@pytest.mark.parametrize(
    ("decision", "state"), [("accept", "aside"), ("refuse", "aside"), ("undo", "joined")]
)
async def test_what_an_admin_is_said_to_be_is_decided_by_admins_alone(
    cast: Cast, api: Api, decision: str, state: Any
) -> None:
    admin: Any = ObjectId(await person(cast, role="admin"))
    await IdentityJoin(id="notes/a:kiosk", app_id="notes", user_id=admin, state=state).add()
    path, body = f"/v1/analytics/joins/{decision}", {"appId": "notes", "anonymousId": "kiosk"}
    refused = await (await every_scope(api)).post(path, json=body)
    assert (refused.status_code, refused.json()["detail"]) == (403, REFUSED)
    kept = await IdentityJoin.find_by_id("notes/a:kiosk")
    assert kept is not None
    assert (kept.state, kept.version) == (state, 1)
    assert (await cast.admin.post(path, json=body)).status_code == 200


@pytest.mark.parametrize("route", WRITES)
async def test_admins_change_themselves_and_each_other(cast: Cast, api: Api, route: str) -> None:
    ann = await signed_in(api, cast)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    for user_id in (await person(cast, role="admin"), ann.id):
        ids = await there(cast.admin, route, user_id)
        assert (await asked(ann, route, user_id, **ids)).is_success


@pytest.mark.parametrize("route", OWN_WRITES)
async def test_a_token_that_a_key_asked_for_changes_no_admin(
    cast: Cast, api: Api, route: str
) -> None:
    """It was asked for before they became one, and is good for ten minutes."""
    user_id = await person(cast)
    minted = await (await api.key("sessions:write")).post(f"/v1/users/{user_id}/sessions")
    before = api.caller(minted.json()["accessToken"], user_id)
    await User.raw().update_one({"_id": ObjectId(user_id)}, {"$set": {"role": "admin"}})
    stored = await everything_of(before)
    for named in ("me", user_id, user_id.upper()):
        refused = await asked(before, route, named)
        assert (refused.status_code, refused.json().get("detail")) == (403, REFUSED)
    assert await everything_of(before) == stored


@pytest.mark.parametrize("route", ["PATCH /v1/users/{userId}", "DELETE /v1/users/{userId}"])
async def test_who_becomes_an_admin_while_the_request_is_under_way_is_spared(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    user_id = ObjectId(await person(cast))
    look = caller_module.spare_admins

    async def and_then_granted(caller: Any, looked_at: Any) -> None:
        await look(caller, looked_at)
        await User.raw().update_one({"_id": user_id}, {"$set": {"role": "admin"}})

    monkeypatch.setattr(caller_module, "spare_admins", and_then_granted)
    refused = await asked(await every_scope(api), route, str(user_id))
    assert (refused.status_code, refused.json()["detail"]) == (403, REFUSED)
    row = await User.raw().find_one({"_id": user_id})
    assert row is not None
    assert row["name"] == "Ann"


async def test_a_stranger_is_not_told_who_is_an_admin(cast: Cast, api: Api) -> None:
    admin = await person(cast, role="admin")
    ann = await signed_in(api, cast)
    answers = [await asked(ann, WRITES[0], each) for each in (admin, await person(cast), "f" * 24)]
    assert {(each.status_code, each.json()["detail"]) for each in answers} == {
        (404, "there is no such user")
    }


@GRANTS
async def test_an_account_with_an_admin_among_its_users_is_deleted_by_admins_alone(
    cast: Cast, api: Api, grant: dict[str, Any]
) -> None:
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    path = f"/v1/accounts/{account}"
    users = [
        (await cast.admin.post(f"{path}/users", json={"name": name})).json()["id"]
        for name in ("Ann", "Bob")
    ]
    assert (await cast.admin.merge(f"/v1/users/{users[1]}", grant)).status_code == 200
    bound = await api.key("accounts:read", "accounts:write", account_id=account)
    for key in (bound, await every_scope(api)):
        refused = await key.delete(path)
        assert (refused.status_code, refused.json()["detail"]) == (403, REFUSED)
    assert len((await cast.admin.get(f"{path}/users")).json()["items"]) == 2
    assert (
        await cast.admin.merge(f"/v1/users/{users[1]}", {"role": None, "roles": ["user"]})
    ).status_code == 200
    assert (await bound.delete(path)).status_code == 200


@GRANTS
async def test_traits_of_a_write_key_do_not_reach_an_admins_profile(
    cast: Cast, api: Api, grant: dict[str, Any]
) -> None:
    await cast.admin.put("/v1/apps/notes", json={"identifyTraits": ["plan"]})
    key = await api.key("events:write", "users:write")
    found = []
    for user_id in (await person(cast, **grant), await person(cast)):
        body = {"userId": user_id, "traits": {"plan": "pro"}}
        assert (
            await key.post("/v1/identify", json=body, params={"appId": "notes"})
        ).status_code == 200
        profile: Raw = (await cast.admin.get(f"/v1/users/{user_id}/profile")).json()
        found.append(profile.get("metadata", {}).get("plan"))
    assert found == [None, "pro"]


async def test_a_session_of_a_person_is_theirs_though_they_are_an_admin(
    cast: Cast, api: Api
) -> None:
    """A device that signed in at one app goes on ending itself."""
    ann = await signed_in(api, cast)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    tokens = api.app.state.authenticator.tokens
    session = (await ann.get("/v1/auth/sessions")).json()["items"][0]["id"]
    bound, _ = tokens.mint(
        ObjectId(ann.id), issued_at=time.time(), session_id=ObjectId(session), app_id="notes"
    )
    assert (await api.caller(bound).delete(f"/v1/auth/sessions/{session}")).status_code == 204
