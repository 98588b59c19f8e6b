"""Spending profiles: limits and categories, shared by any number of cards."""

from typing import Any

import pytest
from bson import ObjectId

from models.spending_profile import SpendingProfile
from tests.cast import Programme
from tests.factories.cards import a_card
from tests.harness import version_of


def profiles(programme: Programme) -> str:
    return f"{programme.path}/spending-profiles"


async def test_a_profile_is_made_and_read(programme: Programme) -> None:
    body = {
        "name": "Meals",
        "limits": {"TRANSACTION": 3000, "DAILY": None},
        "allowedMerchantCategories": ["5814", "5812", "5814"],
    }
    made = await programme.manager.post(profiles(programme), json=body)
    profile = made.json()
    assert (made.status_code, made.headers["location"]) == (
        201,
        f"{profiles(programme)}/{profile['id']}",
    )
    assert (profile["limits"], profile["allowedMerchantCategories"]) == (
        {"TRANSACTION": 3000},
        ["5812", "5814"],
    )
    assert (profile["accountId"], profile["blockedMerchantCategories"]) == (programme.account, [])
    assert "affectedCards" not in profile
    read = await programme.manager.get(made.headers["location"])
    assert (read.json(), version_of(read)) == (profile, 1)
    listed = (await programme.manager.get(profiles(programme))).json()["items"]
    assert [item["id"] for item in listed] == [profile["id"], programme.spare, programme.profile]


@pytest.mark.parametrize(
    ("fields", "pointer", "says"),
    [
        ({"name": ""}, "/name", ""),
        ({"limits": {"MONTHLY": 0}}, "/limits/MONTHLY", "null means no limit"),
        ({"limits": {"MONTHLY": -1}}, "/limits/MONTHLY", "null means no limit"),
        ({"limits": {"MONTHLY": 1.5}}, "/limits/MONTHLY", "integer"),
        ({"limits": {"WEEKLY": 5}}, "/limits/WEEKLY", ""),
        ({"limits": []}, "/limits", ""),
        ({"allowedMerchantCategories": ["123"]}, "/allowedMerchantCategories/0", ""),
        ({"blockedMerchantCategories": ["79955"]}, "/blockedMerchantCategories/0", ""),
        (
            {"allowedMerchantCategories": ["5812"], "blockedMerchantCategories": ["5812"]},
            "/blockedMerchantCategories",
            "5812 is both allowed and blocked",
        ),
        ({"accountId": "f" * 24}, "/accountId", ""),
    ],
    ids=repr,
)
async def test_content_that_is_no_profile_is_refused_by_field(
    programme: Programme, fields: Any, pointer: str, says: str
) -> None:
    refused = await programme.manager.post(profiles(programme), json={"name": "P", **fields})
    error = refused.json()["errors"][0]
    assert refused.status_code == 422
    assert error["pointer"].startswith(pointer)
    assert says in error["detail"]
    assert (
        await SpendingProfile.raw().count_documents({"accountId": ObjectId(programme.account)}) == 2
    )


async def test_a_change_says_how_many_cards_it_affects_and_is_in_force_at_once(
    programme: Programme,
) -> None:
    other = await a_card(programme, spendingProfileId=programme.profile)
    changed = await programme.manager.merge(
        programme.profile_path, {"limits": {"MONTHLY": None, "DAILY": 700}}
    )
    assert (changed.status_code, changed.json()["affectedCards"], version_of(changed)) == (
        200,
        2,
        2,
    )
    assert changed.json()["limits"] == {"DAILY": 700}
    for path in (programme.card_path, other):
        assert (await programme.manager.get(path)).json()["effectiveLimits"]["limits"] == {
            "DAILY": 700
        }
    unused = await programme.manager.merge(
        f"{profiles(programme)}/{programme.spare}", {"name": "Unused"}
    )
    assert unused.json()["affectedCards"] == 0


async def test_a_patch_that_leaves_a_code_on_both_lists_is_refused(programme: Programme) -> None:
    refused = await programme.manager.merge(
        programme.profile_path, {"allowedMerchantCategories": ["7995"]}
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "/blockedMerchantCategories",
    )
    operations = [{"op": "add", "path": "/blockedMerchantCategories/-", "value": "6011"}]
    added = await programme.manager.patch(programme.profile_path, operations)
    assert added.json()["blockedMerchantCategories"] == ["6011", "7995"]


async def test_a_stale_patch_returns_the_current_profile(programme: Programme) -> None:
    match = {"If-Match": '"1"'}
    current = (
        await programme.manager.merge(programme.profile_path, {"name": "New"}, headers=match)
    ).json()
    del current["affectedCards"]
    stale = await programme.manager.merge(programme.profile_path, {"name": "Late"}, headers=match)
    assert (stale.status_code, stale.json()["current"]) == (412, current)
    same = await programme.manager.merge(programme.profile_path, {"name": "New"})
    assert (same.json()["version"], same.json()["affectedCards"]) == (2, 1)
