"""A patch that changes nothing, an empty one above all, changes no version on any route that takes
patches."""

from typing import Any

import orjson
import pytest

from models.activity import Activity
from tests.cast import APP, Cast, programme_of
from tests.factories.app_data import K
from tests.factories.operations import operations
from tests.factories.parameters import names_in
from tests.factories.posted import there
from tests.harness import Api, Caller, version_of

ROUTES = sorted(name for name in operations() if name.startswith("PATCH "))


async def places(cast: Cast, api: Api) -> dict[str, tuple[Caller, str]]:
    """Who patches what, for each route of what no `POST` of the owner's makes; all of it is
    there."""
    programme = await programme_of(api, cast.admin)
    await cast.owner.put(K, json={"a": 1})
    project = (await cast.owner.post("/v1/projects", json={"name": "Notes"})).json()["id"]
    body = {
        "provider": "sandbox",
        "institution": "Bank",
        "label": "Own",
        "accessToken": "sandbox_any",
    }
    connection = (await cast.owner.post("/v1/users/me/connections", json=body)).json()
    return {
        "PATCH /v1/users/{userId}": (cast.owner, "/v1/users/me"),
        "PATCH /v1/users/{userId}/profile": (cast.owner, "/v1/users/me/profile"),
        "PATCH /v1/users/{userId}/preferences": (cast.owner, "/v1/users/me/preferences"),
        "PATCH /v1/users/{userId}/apps/{appId}/data/{dataKey}": (cast.owner, K),
        "PATCH /v1/accounts/{accountId}": (cast.admin, programme.path),
        "PATCH /v1/accounts/{accountId}/cards/{cardId}": (cast.admin, programme.card_path),
        "PATCH /v1/accounts/{accountId}/spending-profiles/{profileId}": (
            cast.admin,
            programme.profile_path,
        ),
        "PATCH /v1/projects/{projectId}": (cast.owner, f"/v1/projects/{project}"),
        "PATCH /v1/connections/{connectionId}": (cast.owner, f"/v1/connections/{connection['id']}"),
    }


OF_THE_FORGE = {"PATCH /v1/projects/{projectId}/repository"}
"""Asked where there are Git hosts, in tests/app/repositories."""


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in OF_THE_FORGE])
async def test_an_empty_patch_changes_no_version(cast: Cast, api: Api, route: str) -> None:
    told = (await places(cast, api)).get(route)
    caller, path = told or (cast.owner, await made_by_example(cast.owner, route))
    await changes_nothing(caller, path)


async def made_by_example(owner: Caller, route: str) -> str:
    """The place of what a `POST` makes of the owner's."""
    ids = await there(owner, route, owner.id)
    missing = set(names_in(route)) - {"userId", *ids}
    assert ids and not missing, f"{route}: no POST makes it, so `places` (this file) has to"
    return route.split(" ")[1].format(**ids | {"userId": owner.id})


async def changes_nothing(caller: Caller, path: str) -> None:
    before = await caller.get(path)
    for done in (await caller.merge(path, {}), await caller.patch(path, [])):
        assert (done.status_code, done.headers["etag"]) == (200, before.headers["etag"])
    test = [{"op": "test", "path": "/nowhere", "value": 1}]
    assert (await caller.patch(path, test)).json()["code"] == "patch_test_failed"
    after = await caller.get(path)
    assert (after.headers["etag"], after.json()) == (before.headers["etag"], before.json())
    assert after.headers.get("last-modified") == before.headers.get("last-modified")
    stale = await caller.merge(path, {}, headers={"If-Match": '"99"'})
    assert stale.status_code == 412


SAME: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("/v1/users/me", {"name": "Owner"}, [{"op": "replace", "path": "/name", "value": "Owner"}]),
    ("/v1/users/me/profile", {"bio": "b"}, [{"op": "test", "path": "/bio", "value": "b"}]),
    (
        "/v1/users/me/preferences",
        {"theme": "dark"},
        [{"op": "replace", "path": "/theme", "value": "dark"}],
    ),
    (K, {"bio": "b"}, [{"op": "move", "from": "/bio", "path": "/bio"}]),
    (K, {"o": {"x": None}, "l": [1]}, [{"op": "test", "path": "/l", "value": [1]}]),
]


@pytest.mark.parametrize(("path", "merge", "operations"), SAME)
async def test_a_patch_that_leaves_everything_as_it_was_changes_no_version(
    cast: Cast, path: str, merge: Any, operations: list[dict[str, Any]]
) -> None:
    if path == K:
        await cast.owner.put(K, json={})
    first = await cast.owner.merge(path, merge)
    for done in (await cast.owner.merge(path, merge), await cast.owner.patch(path, operations)):
        assert (done.status_code, done.headers["etag"]) == (200, first.headers["etag"])
        assert done.json() == first.json()


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (1, 1.0), (0, False), (0.0, -0.0), ("1", 1), ([1], [True])]
)
async def test_another_value_that_python_calls_equal_is_a_change(
    cast: Cast, before: Any, after: Any
) -> None:
    await cast.owner.put(K, json={"v": before})
    assert version_of(await cast.owner.merge(K, {"v": after})) == 2
    assert (await cast.owner.get(K)).content == orjson.dumps({"v": after})
    await cast.owner.merge("/v1/users/me/profile", {"metadata": {"v": before}})
    done = await cast.owner.merge("/v1/users/me/profile", {"metadata": {"v": after}})
    assert repr((await cast.owner.get("/v1/users/me/profile")).json()["metadata"]) == repr(
        {"v": after}
    )
    assert version_of(done) == 3


async def test_another_order_of_keys_is_a_change_and_so_is_merging_into_no_object(
    cast: Cast,
) -> None:
    await cast.owner.put(K, json={"a": 1, "b": 2})
    moved = await cast.owner.patch(
        K, [{"op": "remove", "path": "/a"}, {"op": "add", "path": "/a", "value": 1}]
    )
    assert version_of(moved) == 2
    await cast.owner.put(K, json=[1])
    assert (await cast.owner.merge(K, {})).json()["value"] == {}  # RFC 7396, section 2


async def test_an_idle_patch_does_what_else_it_is_asked_for(cast: Cast) -> None:
    await cast.owner.put(f"{K}?ttl=1000", json={"a": 1})
    before = await cast.owner.get(K)
    noted = await cast.owner.merge(f"{K}?activity=looked", {})
    assert (noted.status_code, noted.headers["etag"]) == (200, before.headers["etag"])
    assert noted.json()["expiresAt"]
    assert await Activity.raw().count_documents({"eventType": "looked", "appId": APP}) == 1
    once = [
        await cast.owner.merge(f"{K}?activity=once", {}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [answer.json() for answer in once] == [noted.json()] * 2
    assert await Activity.raw().count_documents({"eventType": "once"}) == 1
    longer = await cast.owner.merge(f"{K}?ttl=2000", {})  # the envelope shows it
    assert version_of(longer) == 2
    assert longer.json()["expiresAt"] > noted.json()["expiresAt"]
    gone = await cast.owner.merge("/v1/users/me/apps/notes/data/nothing", {})
    assert gone.status_code == 404
