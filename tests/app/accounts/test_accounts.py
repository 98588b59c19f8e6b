"""Accounts: made active, paused, closed for good; what they take while they are so; who belongs to
them."""

from typing import Any

import pytest
from bson import ObjectId

from models.account import Account
from models.guard import STRIPES, Guard
from models.preferences import Preferences
from models.profile import Profile
from models.user import User
from tests.cast import Cast, Programme
from tests.harness import Api, Caller, known, version_of


async def stripes(account: str) -> int:
    return await Guard.raw().count_documents({"_id": {"$regex": f"^{account}:"}})


async def attempts(caller: Caller, programme: Programme) -> list[tuple[int, str]]:
    """What an account answers to a new user, card and profile."""
    card = {"userId": programme.holder.id, "lastFour": "1881"}
    bodies: dict[str, Any] = {
        "users": {"name": "New"},
        "cards": card,
        "spending-profiles": {"name": "New"},
    }
    answers = [
        await caller.post(f"{programme.path}/{path}", json=body) for path, body in bodies.items()
    ]
    return [(answer.status_code, answer.json().get("code", "")) for answer in answers]


async def test_an_account_is_made_active_and_shows_its_webhook_secret_once(cast: Cast) -> None:
    made = await cast.admin.post(
        "/v1/accounts", json={"name": "Acme", "webhookUrl": "https://acme.example/h"}
    )
    account = made.json()
    assert (made.status_code, version_of(made)) == (201, 1)
    assert made.headers["location"] == f"/v1/accounts/{account['id']}"
    assert account.pop("webhookSecret").startswith("whsec_")
    assert (account["name"], account["status"]) == ("Acme", "active")
    read = await cast.admin.get(made.headers["location"])
    assert (read.json(), version_of(read)) == (account, 1)
    assert (await cast.admin.get(made.headers["location"], headers=known(read))).status_code == 304
    assert await stripes(account["id"]) == STRIPES


async def test_a_repeated_creation_shows_the_secret_no_more(cast: Cast) -> None:
    key = {"Idempotency-Key": "once"}
    first = await cast.admin.post("/v1/accounts", json={"name": "Acme"}, headers=key)
    again = await cast.admin.post("/v1/accounts", json={"name": "Acme"}, headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "already_done")
    assert again.json()["id"] == first.json()["id"]
    assert "webhookSecret" not in again.json()


async def test_the_secret_is_nowhere_in_the_database(cast: Cast) -> None:
    secret = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["webhookSecret"]
    row = await Account.raw().find_one({})
    assert secret.removeprefix("whsec_") not in str(row)
    assert "secret" not in str(row).lower()


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"name": "A", "status": "active"}, "/status"),
        ({"name": "A", "webhookUrl": "ftp://a.example"}, "/webhookUrl"),
        ({"name": "A", "webhookUrl": "https://user:password@a.example"}, "/webhookUrl"),
        ({"name": "A", "webhookUrl": "https://a.example:99999/"}, "/webhookUrl"),
        ({"name": "A", "webhookSecret": "mine"}, "/webhookSecret"),
    ],
    ids=repr,
)
async def test_content_that_is_no_account_is_refused_by_field(
    cast: Cast, content: Any, pointer: str
) -> None:
    refused = await cast.admin.post("/v1/accounts", json=content)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await Account.raw().count_documents({}) == 0


@pytest.mark.parametrize("status", ["paused", "closed"])
async def test_an_account_that_is_not_active_takes_nothing_new(
    programme: Programme, status: str
) -> None:
    moved = await programme.manager.merge(programme.path, {"status": status})
    assert (moved.status_code, moved.json()["status"], await stripes(programme.account)) == (
        200,
        status,
        0,
    )
    assert await attempts(programme.manager, programme) == [(409, "account_not_active")] * 3
    assert (await programme.manager.get(programme.card_path)).status_code == 200
    closing = await programme.manager.merge(programme.card_path, {"status": "closed"})
    assert closing.status_code == 200, "what is there can still be changed"


async def test_an_account_that_is_active_again_takes_what_is_new(programme: Programme) -> None:
    await programme.manager.merge(programme.path, {"status": "paused"})
    again = await programme.manager.merge(programme.path, {"status": "active"})
    assert (again.json()["status"], await stripes(programme.account)) == ("active", STRIPES)
    assert await attempts(programme.manager, programme) == [(201, "")] * 3


@pytest.mark.parametrize("before", ["active", "paused"])
async def test_a_closed_account_is_closed_for_good(programme: Programme, before: str) -> None:
    await programme.manager.merge(programme.path, {"status": before})
    assert (await programme.manager.merge(programme.path, {"status": "closed"})).status_code == 200
    for status in ("active", "paused"):
        refused = await programme.manager.merge(programme.path, {"status": status})
        assert (refused.status_code, refused.json()["code"]) == (409, "bad_transition")
    renamed = await programme.manager.merge(programme.path, {"name": "Still here"})
    assert (renamed.status_code, renamed.json()["status"]) == (200, "closed")


async def test_an_account_that_is_not_there_takes_nothing(cast: Cast, programme: Programme) -> None:
    nowhere = f"/v1/accounts/{'f' * 24}"
    for path in ("users", "cards", "spending-profiles"):
        body = (
            {"userId": programme.holder.id, "lastFour": "1881"}
            if path == "cards"
            else {"name": "New"}
        )
        assert (await cast.admin.post(f"{nowhere}/{path}", json=body)).status_code == 404
        assert (await cast.admin.get(f"/v1/accounts/nonsense/{path}")).status_code == 404


async def test_a_stale_patch_returns_the_current_account(programme: Programme) -> None:
    current = (
        await programme.manager.merge(programme.path, {"name": "New"}, headers={"If-Match": '"1"'})
    ).json()
    stale = await programme.manager.merge(
        programme.path, {"name": "Late"}, headers={"If-Match": '"1"'}
    )
    assert (stale.status_code, stale.json()["current"], version_of(stale)) == (412, current, 2)
    operations = [
        {"op": "test", "path": "/name", "value": "New"},
        {"op": "replace", "path": "/name", "value": "N2"},
    ]
    patched = await programme.manager.patch(programme.path, operations, headers={"If-Match": '"2"'})
    assert (patched.json()["name"], patched.json()["version"]) == ("N2", 3)
    same = await programme.manager.merge(programme.path, {"name": "N2"})
    assert same.json()["version"] == 3


@pytest.mark.parametrize(
    "patch", [{"id": "f" * 24}, {"version": 7}, {"guard": 1}, {"webhookRotation": 5}], ids=repr
)
async def test_what_is_kept_for_us_is_not_patched(programme: Programme, patch: Any) -> None:
    refused = await programme.manager.merge(programme.path, patch)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        f"/{next(iter(patch))}",
    )


async def test_each_rotation_gives_another_secret(cast: Cast) -> None:
    made = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()
    path = f"/v1/accounts/{made['id']}/webhook-secret"
    second = (await cast.admin.post(path)).json()["webhookSecret"]
    third = (await cast.admin.post(path)).json()["webhookSecret"]
    assert len({made["webhookSecret"], second, third}) == 3
    assert (await cast.admin.get(f"/v1/accounts/{made['id']}")).json()["version"] == 3


async def test_a_user_of_an_account_is_made_with_all_that_belongs_to_a_user(
    programme: Programme,
) -> None:
    made = await programme.manager.post(
        f"{programme.path}/users", json={"name": "Ann", "email": "ann@example.com"}
    )
    user = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/users/{user['id']}")
    assert (user["accountId"], user["email"]) == (programme.account, "ann@example.com")
    for document in (Profile, Preferences):
        assert await document.raw().count_documents({"userId": ObjectId(user["id"])}) == 1
    taken = await programme.manager.post(
        f"{programme.path}/users", json={"email": "ANN@example.com"}
    )
    assert (taken.status_code, taken.json()["code"]) == (409, "duplicate")
    granted = await programme.manager.post(f"{programme.path}/users", json={"roles": ["admin"]})
    assert granted.status_code == 403


async def test_the_users_of_an_account_are_listed_page_by_page(programme: Programme) -> None:
    path = f"{programme.path}/users"
    made = [(await programme.manager.post(path, json={})).json()["id"] for _ in range(2)]
    first = (await programme.manager.get(path, params={"limit": 3})).json()
    second = (
        await programme.manager.get(path, params={"limit": 3, "cursor": first["nextCursor"]})
    ).json()
    seen = [user["id"] for user in first["items"] + second["items"]]
    assert seen == [*reversed(made), programme.colleague.id, programme.holder.id]
    assert second["nextCursor"] is None


async def test_an_admin_gives_a_user_an_account(cast: Cast, programme: Programme) -> None:
    path = f"/v1/users/{cast.owner.id}"
    moved = await cast.admin.merge(path, {"accountId": programme.account, "name": "Moved"})
    assert (moved.status_code, moved.json()["accountId"], moved.json()["name"]) == (
        200,
        programme.account,
        "Moved",
    )
    assert (await cast.owner.get(programme.path)).status_code == 200
    away = await cast.admin.merge(path, {"accountId": None})
    assert (away.status_code, away.json()["accountId"]) == (200, None)
    assert (await cast.owner.get(programme.path)).status_code == 404


@pytest.mark.parametrize(
    ("account", "status"),
    [("f" * 24, 400), ("nonsense", 422), (5, 422), ({"$ne": None}, 422)],
    ids=repr,
)
async def test_a_user_is_given_no_account_that_is_not_there(
    cast: Cast, account: Any, status: int
) -> None:
    refused = await cast.admin.merge(f"/v1/users/{cast.owner.id}", {"accountId": account})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (status, "/accountId")
    assert (await cast.owner.get("/v1/users/me")).json()["version"] == 1


async def test_a_user_is_given_no_account_that_is_paused(cast: Cast, programme: Programme) -> None:
    await programme.manager.merge(programme.path, {"status": "paused"})
    refused = await cast.admin.merge(f"/v1/users/{cast.owner.id}", {"accountId": programme.account})
    assert refused.status_code == 400


async def test_the_account_of_a_user_is_fixed_while_cards_refer_to_the_user(
    cast: Cast, programme: Programme
) -> None:
    path = f"/v1/users/{programme.holder.id}"
    for account in (programme.elsewhere, None):
        refused = await cast.admin.merge(path, {"accountId": account})
        assert (refused.status_code, refused.json()["code"]) == (409, "restricted")
        assert refused.json()["blockers"][0]["ids"] == [programme.card]
    row = await User.raw().find_one({"_id": ObjectId(programme.holder.id)})
    assert row is not None
    assert (row["accountId"], row["version"]) == (ObjectId(programme.account), 1)


async def test_only_admins_give_accounts(cast: Cast, programme: Programme, api: Api) -> None:
    writer = await api.key("users:write")
    for caller in (programme.colleague, writer):
        refused = await caller.merge(
            f"/v1/users/{programme.colleague.id}", {"accountId": programme.elsewhere}
        )
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/accountId")


@pytest.mark.parametrize("status", ["paused", "closed"])
@pytest.mark.parametrize("before", ["pending", "paused"])
async def test_an_account_that_is_not_active_opens_no_card(
    programme: Programme, before: str, status: str
) -> None:
    for step in ("open", "paused") if before == "paused" else ():
        await programme.manager.merge(programme.card_path, {"status": step})
    await programme.manager.merge(programme.path, {"status": status})
    shown = (await programme.manager.get(programme.card_path)).json()
    for patch in ({"status": "open"}, {"status": "open", "userId": programme.colleague.id}):
        refused = await programme.manager.merge(programme.card_path, patch)
        assert (refused.status_code, refused.json()["code"]) == (409, "account_not_active")
        assert (await programme.manager.get(programme.card_path)).json() == shown
    changed = await programme.manager.merge(
        programme.card_path, {"spendingProfileId": None, "spendLimit": 7000}
    )
    assert (changed.status_code, changed.json()["status"]) == (
        200,
        before,
    ), "what is there can still be changed"


async def test_a_card_that_is_open_may_be_paused_while_its_account_is(programme: Programme) -> None:
    await programme.manager.merge(programme.card_path, {"status": "open"})
    await programme.manager.merge(programme.path, {"status": "paused"})
    assert (
        await programme.manager.merge(programme.card_path, {"status": "paused"})
    ).status_code == 200
    assert (
        await programme.manager.merge(programme.card_path, {"status": "open"})
    ).status_code == 409
    await programme.manager.merge(programme.path, {"status": "active"})
    assert (await programme.manager.merge(programme.card_path, {"status": "open"})).json()[
        "status"
    ] == "open"
