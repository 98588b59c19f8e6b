"""Users: made with all that belongs to them, found, listed, changed."""

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.preferences import Preferences
from models.profile import Profile
from models.user import User
from tests.app.faults import failing
from tests.cast import Cast
from tests.harness import version_of

ANN = {"email": "ann@example.com", "name": "Ann"}


async def test_a_user_is_made_with_profile_and_preferences(cast: Cast) -> None:
    made = await cast.admin.post("/v1/users", json=ANN)
    user = made.json()
    assert (made.status_code, version_of(made)) == (201, 1)
    assert made.headers["location"] == f"/v1/users/{user['id']}"
    assert (user["email"], user["name"], user["roles"], user["version"]) == (
        "ann@example.com",
        "Ann",
        ["user"],
        1,
    )
    assert (user["permissions"], user["authMethods"], user["role"], user["accountId"]) == (
        [],
        [],
        None,
        None,
    )
    profile = (await cast.admin.get(f"/v1/users/{user['id']}/profile")).json()
    assert (profile["userId"], profile["displayName"], profile["metadata"]) == (
        user["id"],
        "Ann",
        {},
    )
    preferences = (await cast.admin.get(f"/v1/users/{user['id']}/preferences")).json()
    assert (preferences["theme"], preferences["language"], preferences["version"]) == (
        "auto",
        "en",
        1,
    )
    assert preferences["notifications"] == {"email": True, "push": True, "inApp": True}


@pytest.mark.parametrize("collection", ["profiles", "preferences"])
async def test_a_user_is_made_as_a_whole_or_not_at_all(
    cast: Cast, client: AsyncMongoClient[Any], collection: str
) -> None:
    skip = 1 if collection == "profiles" else 2
    before = [await document.raw().count_documents({}) for document in (User, Profile, Preferences)]
    async with failing(client, "insert", mode={"skip": skip}, errorCode=96):
        answer = await cast.admin.post("/v1/users", json=ANN)
    assert answer.status_code in (500, 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert [
        await document.raw().count_documents({}) for document in (User, Profile, Preferences)
    ] == before
    assert (await cast.admin.post("/v1/users", json=ANN)).status_code == 201


async def test_an_email_has_one_user_in_all_its_spellings(cast: Cast) -> None:
    assert (
        await cast.admin.post("/v1/users", json={"email": " Ann@BÜCHER.example "})
    ).status_code == 201
    again = await cast.admin.post("/v1/users", json={"email": "ann@xn--bcher-kva.EXAMPLE"})
    assert (again.status_code, again.json()["code"]) == (409, "duplicate")
    assert again.json()["errors"][0]["pointer"] == "/email"
    found = await cast.admin.get("/v1/users", params={"email": "ANN@bücher.example"})
    assert [user["email"] for user in found.json()["items"]] == ["ann@xn--bcher-kva.example"]


async def test_any_number_of_people_have_no_email(cast: Cast) -> None:
    assert [(await cast.admin.post("/v1/users", json={})).status_code for _ in range(3)] == [
        201
    ] * 3


@pytest.mark.parametrize("email", ["nobody@example.com", "nobody@bücher.example"])
async def test_an_email_of_nobody_finds_nobody(cast: Cast, email: str) -> None:
    found = await cast.admin.get("/v1/users", params={"email": email})
    assert (found.status_code, found.json()) == (200, {"items": [], "nextCursor": None})


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"email": "x"}, "/email"),
        ({"email": 5}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"role": "king"}, "/role"),
        ({"roles": ["a b"]}, "/roles/0"),
        ({"roles": "user"}, "/roles"),
        ({"unknown": 1}, "/unknown"),
        ({"id": "f" * 24}, "/id"),
        ([], ""),
    ],
)
async def test_content_that_is_no_user_is_refused_by_field(
    cast: Cast, content: Any, pointer: str
) -> None:
    refused = await cast.admin.post("/v1/users", json=content)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "grant", [{"roles": ["admin"]}, {"permissions": ["all"]}, {"role": "admin"}]
)
async def test_only_an_admin_makes_a_user_who_is_more(
    cast: Cast, grant: dict[str, Any], api: Any
) -> None:
    writer = await api.key("users:write")
    refused = await writer.post("/v1/users", json=grant)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        403,
        f"/{next(iter(grant))}",
    )
    made = await cast.admin.post("/v1/users", json=grant)
    assert made.json() | grant == made.json()


async def test_a_user_reads_their_own(cast: Cast) -> None:
    mine = await cast.owner.get("/v1/users/me")
    assert (mine.status_code, version_of(mine), mine.json()["id"]) == (200, 1, cast.owner.id)
    assert (await cast.owner.get(f"/v1/users/{cast.owner.id}")).json() == mine.json()
    known = await cast.owner.get("/v1/users/me", headers={"If-None-Match": mine.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_internals_are_not_shown(cast: Cast) -> None:
    shown = (await cast.owner.get("/v1/users/me")).json()
    assert set(shown) == {
        *("id", "version", "createdAt", "updatedAt", "email", "name", "valuUserId", "merkosUserId"),
        *(
            "authMethods",
            "roles",
            "permissions",
            "role",
            "status",
            "accountId",
            "lastLogin",
            "emailVerifiedAt",
            "nextSteps",
        ),
    }


async def test_users_are_listed_newest_first_page_by_page(cast: Cast) -> None:
    made = [
        (await cast.admin.post("/v1/users", json={"name": f"n{n}"})).json()["id"] for n in range(5)
    ]
    seen: list[str] = []
    cursor = None
    for size in (3, 3, 1):
        page = (
            await cast.admin.get(
                "/v1/users", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        assert len(page["items"]) == size
        seen += [user["id"] for user in page["items"]]
        cursor = page["nextCursor"]
    assert cursor is None
    assert seen == [*reversed(made), cast.stranger.id, cast.owner.id]


async def test_a_name_is_changed_by_both_kinds_of_patch(cast: Cast) -> None:
    merged = await cast.owner.merge("/v1/users/me", {"name": "New"})
    assert (merged.status_code, version_of(merged), merged.json()["name"]) == (200, 2, "New")
    assert merged.json()["updatedAt"] >= merged.json()["createdAt"]
    operations = [
        {"op": "test", "path": "/name", "value": "New"},
        {"op": "remove", "path": "/name"},
    ]
    patched = await cast.owner.patch("/v1/users/me", operations)
    assert (patched.status_code, patched.json()["version"], patched.json()["name"]) == (
        200,
        3,
        None,
    )
    row = await User.raw().find_one({"email": "owner@example.com"})
    assert row is not None
    assert "name" not in row


async def test_a_patch_that_changes_nothing_moves_no_version(cast: Cast) -> None:
    same = await cast.owner.merge("/v1/users/me", {"name": "Owner"})
    assert (same.status_code, same.json()["version"]) == (200, 1)


async def test_stale_patch_returns_the_current_document(cast: Cast) -> None:
    current = (await cast.owner.merge("/v1/users/me", {"name": "New"})).json()
    stale = await cast.owner.merge("/v1/users/me", {"name": "Late"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["current"]) == (412, current)
    assert version_of(stale) == 2
    fresh = await cast.owner.merge("/v1/users/me", {"name": "Later"}, headers={"If-Match": '"2"'})
    assert fresh.json()["version"] == 3


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"roles": ["admin"]}, 403),
        ({"permissions": ["all"]}, 403),
        ({"role": "admin"}, 403),
        ({"email": "other@example.com"}, 403),
        ({"authMethods": ["google"]}, 422),
        ({"accountId": "f" * 24}, 422),
        ({"id": "f" * 24}, 422),
        ({"version": 9}, 422),
        ({"lastLogin": "2026-01-01T00:00:00Z"}, 422),
        ({"createdAt": None}, 422),
        ({"guard": 5}, 422),
        ({"_id": "x"}, 422),
        ({"$set": {"role": "admin"}}, 422),
        ({"roles.0": "admin"}, 422),
        ({"name": 5}, 422),
    ],
    ids=repr,
)
async def test_an_owner_never_touches_what_is_granted_or_kept(
    cast: Cast, patch: Any, status: int
) -> None:
    before = (await cast.owner.get("/v1/users/me")).json()
    refused = await cast.owner.merge("/v1/users/me", {"name": "New", **patch})
    assert refused.status_code == status
    assert refused.json()["errors"][0]["pointer"] == f"/{next(iter(patch))}"
    assert (await cast.owner.get("/v1/users/me")).json() == before


async def test_an_admin_grants(cast: Cast) -> None:
    path, grants = (
        f"/v1/users/{cast.owner.id}",
        {
            "roles": ["user", "editor"],
            "permissions": ["x"],
            "role": "creator",
        },
    )
    granted = await cast.admin.merge(path, grants)
    assert granted.status_code == 200
    assert granted.json() | grants == granted.json()


async def test_a_key_changes_what_identifies_and_nothing_granted(cast: Cast, api: Any) -> None:
    writer, path = await api.key("users:write"), f"/v1/users/{cast.owner.id}"
    changed = await writer.merge(path, {"email": " NEW@example.com", "valuUserId": "v1"})
    assert (changed.json()["email"], changed.json()["valuUserId"]) == ("new@example.com", "v1")
    assert (await writer.merge(path, {"roles": []})).status_code == 403
    taken = await writer.merge(path, {"email": "Stranger@Example.com"})
    assert (taken.status_code, taken.json()["errors"][0]["pointer"]) == (409, "/email")


@pytest.mark.parametrize(
    "operations", [[{"op": "replace", "path": "", "value": 5}], [{"op": "remove", "path": "/x"}]]
)
async def test_a_patch_that_leaves_no_user_is_refused(cast: Cast, operations: Any) -> None:
    assert (await cast.owner.patch("/v1/users/me", operations)).status_code == 422
    assert version_of(await cast.owner.get("/v1/users/me")) == 1


async def test_a_patch_of_no_known_type_is_415(cast: Cast) -> None:
    refused = await cast.owner.request("PATCH", "/v1/users/me", json={"name": "New"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/users", "/v1/accounts/{account}/users"])
async def test_ways_of_signing_in_are_not_given_to_a_new_user(cast: Cast, path: str) -> None:
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    refused = await cast.admin.post(path.format(account=account), json={"authMethods": ["google"]})
    error = refused.json()["errors"][0] if refused.status_code == 422 else {}
    assert (refused.status_code, error.get("pointer"), error.get("code")) == (
        422,
        "/authMethods",
        "read_only",
    )
