"""API keys: shown once, limited by scope and app, over when they are revoked or expire."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.api_key import ApiKey, hash_key
from models.base import now, rfc3339
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api, version_of

KEYS = "/v1/api-keys"
SERVER = {"name": "server", "scopes": ["data:read", "data:write"], "appId": "notes"}


async def test_a_key_is_shown_once_and_works(cast: Cast, api: Api) -> None:
    made = await cast.admin.post(KEYS, json=SERVER)
    key = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"{KEYS}/{key['id']}")
    assert key | SERVER == key
    assert key["key"].startswith("sk_")
    server = api.caller(key["key"])
    assert (
        await server.put(f"/v1/users/{cast.owner.id}/apps/notes/data/k", json=1)
    ).status_code == 201
    listed = (await cast.admin.get(KEYS)).json()["items"]
    used = listed[0].pop("lastUsedAt")
    assert key["createdAt"] <= used
    assert listed[0] == {
        name: value for name, value in key.items() if name not in ("key", "lastUsedAt")
    }
    assert all(set(item) - {"lastUsedAt"} == set(listed[0]) for item in listed)


async def test_only_a_hash_of_a_key_is_stored(cast: Cast) -> None:
    secret = (await cast.admin.post(KEYS, json=SERVER)).json()["key"]
    row = await ApiKey.raw().find_one({"name": "server"})
    assert row is not None
    assert row["hash"] == hash_key(secret)
    assert secret not in str(row)
    assert "hash" not in repr(ApiKey.from_stored(row))


async def test_a_key_reaches_its_app_only(cast: Cast) -> None:
    assert (await cast.app_key.get(f"/v1/users/{cast.owner.id}/apps/boats/data")).status_code == 404
    assert (
        await cast.app_key.get(f"/v1/users/{cast.owner.id}/apps/boats/data/k")
    ).status_code == 404
    assert (await cast.app_key.get(f"/v1/users/{cast.owner.id}/apps/notes/data")).status_code == 200
    assert (await cast.app_key.get(f"/v1/users/{cast.owner.id}")).status_code == 403


async def test_a_revoked_key_is_refused_at_once(cast: Cast, api: Api) -> None:
    key = (await cast.admin.post(KEYS, json={"name": "x", "scopes": ["users:read"]})).json()
    server = api.caller(key["key"])
    assert (await server.get("/v1/users")).status_code == 200
    assert (await cast.admin.delete(f"{KEYS}/{key['id']}")).status_code == 204
    assert (await server.get("/v1/users")).status_code == 401
    assert (await cast.admin.delete(f"{KEYS}/{key['id']}")).status_code == 404


async def test_a_key_revoked_elsewhere_is_refused_when_its_memory_fades(make_api: MakeApi) -> None:
    api, other = await make_api(credential_cache_seconds=0), await make_api()
    admin, server = await other.key("admin"), await api.key("users:read")
    assert (await server.get("/v1/users")).status_code == 200
    key_id = (await admin.get(KEYS)).json()["items"][0]["id"]
    assert (await admin.delete(f"{KEYS}/{key_id}")).status_code == 204
    assert (await server.get("/v1/users")).status_code == 401


async def test_an_expired_key_is_refused(cast: Cast, api: Api) -> None:
    expires = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    key = (await cast.admin.post(KEYS, json={**SERVER, "expiresAt": expires})).json()
    assert key["expiresAt"] == expires
    await ApiKey.raw().update_one({"name": "server"}, {"$set": {"expiresAt": now()}})
    assert (
        await api.caller(key["key"]).get(f"/v1/users/{cast.owner.id}/apps/notes/data")
    ).status_code == 401


async def test_what_is_remembered_of_a_key_ends_with_the_key(cast: Cast, api: Api) -> None:
    expires = now() + timedelta(seconds=1)
    body = {"name": "short", "scopes": ["users:read"], "expiresAt": rfc3339(expires)}
    server = api.caller((await cast.admin.post(KEYS, json=body)).json()["key"])
    assert (await server.get("/v1/users")).status_code == 200
    while (answer := await server.get("/v1/users")).status_code == 200:
        assert now() < expires + timedelta(seconds=1)
    assert answer.status_code == 401
    assert now() >= expires - timedelta(milliseconds=50)


async def test_keys_are_listed_newest_first_page_by_page(cast: Cast) -> None:
    made = [
        (await cast.admin.post(KEYS, json={**SERVER, "name": f"k{n}"})).json()["id"]
        for n in range(3)
    ]
    first = (await cast.admin.get(KEYS, params={"limit": 2})).json()
    second = (
        await cast.admin.get(KEYS, params={"limit": 200, "cursor": first["nextCursor"]})
    ).json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids[:3] == made[::-1]
    assert (len(set(ids)), second["nextCursor"]) == (await ApiKey.raw().count_documents({}), None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["data:read"]}, "/name"),
        ({"name": "x"}, "/scopes"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["all"]}, "/scopes/0"),
        ({"name": "x", "scopes": ["data:read"], "appId": "a b"}, "/appId"),
        ({"name": "x", "scopes": ["admin"], "appId": "notes"}, "/scopes"),
        ({"name": "x", "scopes": ["data:read"], "expiresAt": "2020-01-01T00:00:00Z"}, "/expiresAt"),
        ({"name": "x", "scopes": ["data:read"], "hash": "x"}, "/hash"),
    ],
    ids=repr,
)
async def test_other_keys_are_refused_by_field(cast: Cast, body: Any, pointer: str) -> None:
    refused = await cast.admin.post(KEYS, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize("key_id", ["f" * 24, "nonsense", "%00"])
async def test_a_key_that_is_not_there_is_404(cast: Cast, key_id: str) -> None:
    assert (await cast.admin.delete(f"{KEYS}/{key_id}")).status_code == 404


async def test_only_admins_make_see_and_revoke_keys(cast: Cast) -> None:
    for caller in (cast.owner, cast.reader, cast.app_key):
        assert (await caller.post(KEYS, json=SERVER)).status_code == 403
        assert (await caller.get(KEYS)).status_code == 403
        assert (await caller.delete(f"{KEYS}/{'f' * 24}")).status_code == 403


async def test_a_key_is_found_where_its_location_says(cast: Cast) -> None:
    made = await cast.admin.post(KEYS, json=SERVER)
    found = await cast.admin.get(made.headers["location"])
    assert (found.status_code, version_of(found)) == (200, 1)
    assert found.json() == {name: value for name, value in made.json().items() if name != "key"}
    known = await cast.admin.get(
        made.headers["location"], headers={"If-None-Match": found.headers["etag"]}
    )
    assert (known.status_code, known.content) == (304, b"")
    assert (await cast.admin.get(f"{KEYS}/nonsense")).status_code == 404


async def test_a_key_of_another_version_is_not_revoked(cast: Cast, api: Api) -> None:
    key = (await cast.admin.post(KEYS, json={"name": "x", "scopes": ["users:read"]})).json()
    path = f"{KEYS}/{key['id']}"
    for sent in ({"If-Match": '"2"'}, {"If-None-Match": "*"}):
        refused = await cast.admin.delete(path, headers=sent)
        assert (refused.status_code, refused.json()["current"]) == (
            412,
            (await cast.admin.get(path)).json(),
        )
    assert (await api.caller(key["key"]).get("/v1/users")).status_code == 200
    assert (await cast.admin.delete(path, headers={"If-Match": '"1"'})).status_code == 204
    assert (await cast.admin.delete(path, headers={"If-Match": '"1"'})).status_code == 404


@pytest.mark.parametrize(
    "scope",
    [
        "admin",
        *(
            f"{what}:{how}"
            for what in ("users", "accounts", "projects", "connections")
            for how in ("read", "write")
        ),
    ],
)
async def test_a_key_bound_to_an_app_has_no_scope_beyond_that_apps_data(
    cast: Cast, scope: str
) -> None:
    body = {"name": "k", "scopes": ["data:read", scope], "appId": "notes"}
    answer = await cast.admin.post("/v1/api-keys", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/scopes")
    assert scope in answer.json()["detail"]


async def test_a_key_bound_to_an_app_may_have_every_scope_of_its_data(cast: Cast) -> None:
    scopes = ["sessions:write", "data:read", "data:write", "events:write", "analytics:read"]
    made = await cast.admin.post(
        "/v1/api-keys", json={"name": "k", "scopes": scopes, "appId": "notes"}
    )
    assert made.status_code == 201


async def test_a_bound_key_from_before_reaches_no_person(cast: Cast, api: Api) -> None:
    key = await api.key("users:read", "users:write", "data:read", app_id="notes")
    person = f"/v1/users/{cast.owner.id}"
    answers = [
        await key.get(person),
        await key.get("/v1/users"),
        await key.get(f"{person}/complete"),
        await key.get(f"{person}/activity?expand=user"),
        await key.merge(f"{person}/profile", {"bio": "owned"}),
        await key.delete(person),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert (await key.get(f"{person}/apps/notes/data")).status_code == 200


async def test_a_bound_key_mints_tokens_bound_to_its_app(cast: Cast, api: Api) -> None:
    key = await api.key("sessions:write", app_id="notes")
    token = (await key.post(f"/v1/users/{cast.owner.id}/sessions")).json()["accessToken"]
    assert api.app.state.authenticator.tokens.verify(token).app_id == "notes"
    assert (
        await key.post(f"/v1/users/{cast.owner.id}/sessions", json={"appId": "boats"})
    ).status_code == 404
