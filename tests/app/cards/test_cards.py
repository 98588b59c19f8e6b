"""Cards: made for a user of the account, limited, moved through their states, listed, embedded."""

from typing import Any

import pytest
from bson import ObjectId

from models.card import Card
from tests.cast import Cast, Programme
from tests.factories.cards import a_card, cards
from tests.harness import known, version_of

OWN = {"spendLimit": 5000, "spendLimitDuration": "DAILY"}
TRAVEL = {
    "source": "spendingProfile",
    "limits": {"MONTHLY": 500_000},
    "allowedMerchantCategories": [],
    "blockedMerchantCategories": ["7995"],
}


async def test_a_card_is_made_pending_with_the_limits_in_force(programme: Programme) -> None:
    read = await programme.manager.get(programme.card_path)
    card = read.json()
    assert (read.status_code, version_of(read)) == (200, 1)
    assert (card["status"], card["lastFour"], card["userId"]) == (
        "pending",
        "4242",
        programme.holder.id,
    )
    assert (card["accountId"], card["spendingProfileId"]) == (programme.account, programme.profile)
    assert card["effectiveLimits"] == TRAVEL
    assert {name: card[name] for name in OWN} == OWN
    assert (
        await programme.manager.get(programme.card_path, headers=known(read))
    ).status_code == 304


@pytest.mark.parametrize(
    ("limit", "in_force"),
    [(OWN, {"DAILY": 5000}), ({}, {}), ({"spendLimit": None, "spendLimitDuration": None}, {})],
)
async def test_a_card_without_a_profile_has_limits_of_its_own(
    programme: Programme, limit: Any, in_force: Any
) -> None:
    card = (await programme.manager.get(await a_card(programme, **limit))).json()
    assert (card["effectiveLimits"]["source"], card["effectiveLimits"]["limits"]) == (
        "card",
        in_force,
    )


async def test_a_card_whose_profile_is_just_going_falls_back(programme: Programme) -> None:
    await Card.raw().update_one(
        {"_id": ObjectId(programme.card)}, {"$set": {"spendingProfileId": ObjectId()}}
    )
    card = (
        await programme.manager.get(programme.card_path, params={"expand": "spendingProfile"})
    ).json()
    assert card["effectiveLimits"]["source"] == "card"
    assert card["effectiveLimits"]["limits"] == {"DAILY": 5000}
    assert "spendingProfile" not in card


@pytest.mark.parametrize(
    ("fields", "pointer", "says"),
    [
        ({"spendLimit": 0, "spendLimitDuration": "DAILY"}, "/spendLimit", "null means no limit"),
        ({"spendLimit": -5, "spendLimitDuration": "DAILY"}, "/spendLimit", "null means no limit"),
        ({"spendLimit": 2**53, "spendLimitDuration": "DAILY"}, "/spendLimit", "between 1 and"),
        ({"spendLimit": 10.5, "spendLimitDuration": "DAILY"}, "/spendLimit", "integer"),
        ({"spendLimit": "100", "spendLimitDuration": "DAILY"}, "/spendLimit", "integer"),
        ({"spendLimit": True, "spendLimitDuration": "DAILY"}, "/spendLimit", "integer"),
        ({"spendLimit": 100}, "/spendLimitDuration", "both set, or both null"),
        ({"spendLimitDuration": "DAILY"}, "/spendLimitDuration", "both set, or both null"),
        ({"spendLimit": 100, "spendLimitDuration": "WEEKLY"}, "/spendLimitDuration", "DAILY"),
        ({"lastFour": "123"}, "/lastFour", ""),
        ({"lastFour": "12345"}, "/lastFour", ""),
        ({"lastFour": "12a4"}, "/lastFour", ""),
        ({"lastFour": "١٢٣٤"}, "/lastFour", ""),
        ({"lastFour": 1234}, "/lastFour", ""),
        ({"userId": None}, "/userId", ""),
        ({"userId": "x"}, "/userId", ""),
        ({"status": "closed"}, "/status", ""),
        ({"status": "orphaned"}, "/status", ""),
        ({"accountId": "f" * 24}, "/accountId", ""),
    ],
    ids=repr,
)
async def test_content_that_is_no_card_is_refused_by_field(
    programme: Programme, fields: Any, pointer: str, says: str
) -> None:
    body = {"userId": programme.holder.id, "lastFour": "1881", **fields}
    refused = await programme.manager.post(cards(programme), json=body)
    error = refused.json()["errors"][0]
    assert (refused.status_code, error["pointer"]) == (422, pointer)
    assert says in error["detail"]
    assert await Card.raw().count_documents({}) == 1


async def test_a_user_of_another_account_is_refused_in_the_seeds_words(
    programme: Programme, cast: Cast
) -> None:
    for user in (programme.outsider.id, cast.owner.id, "f" * 24):
        body = {"userId": user, "lastFour": "1881"}
        answers = [
            await programme.manager.post(cards(programme), json=body),
            await programme.manager.merge(programme.card_path, {"userId": user}),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_reference")
            assert answer.json()["detail"] == "User does not belong to this account"
            assert answer.json()["errors"][0]["pointer"] == "/userId"
    assert (await programme.manager.get(programme.card_path)).json()["version"] == 1


async def test_a_profile_of_another_account_is_refused_in_the_seeds_words(
    programme: Programme,
) -> None:
    for profile in (programme.foreign_profile, "f" * 24):
        body = {"userId": programme.holder.id, "lastFour": "1881", "spendingProfileId": profile}
        answers = [
            await programme.manager.post(cards(programme), json=body),
            await programme.manager.merge(programme.card_path, {"spendingProfileId": profile}),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_reference")
            assert answer.json()["detail"] == "Spending profile does not belong to this account"
            assert answer.json()["errors"][0]["pointer"] == "/spendingProfileId"
    assert await Card.raw().count_documents({}) == 1


async def test_a_card_changes_hands_profile_and_limits(programme: Programme) -> None:
    path = programme.card_path
    given = await programme.manager.merge(path, {"userId": programme.colleague.id})
    assert (given.status_code, given.json()["userId"], version_of(given)) == (
        200,
        programme.colleague.id,
        2,
    )
    bare = await programme.manager.merge(path, {"spendingProfileId": None})
    assert bare.json()["effectiveLimits"]["limits"] == {"DAILY": 5000}
    unlimited = await programme.manager.merge(
        path, {"spendLimit": None, "spendLimitDuration": None}
    )
    assert unlimited.json()["effectiveLimits"]["limits"] == {}
    half = await programme.manager.merge(path, {"spendLimit": 100})
    assert (half.status_code, half.json()["errors"][0]["pointer"]) == (422, "/spendLimitDuration")
    operations = [{"op": "add", "path": "/spendingProfileId", "value": programme.spare}]
    spared = await programme.manager.patch(path, operations)
    assert (spared.json()["spendingProfileId"], spared.json()["version"]) == (programme.spare, 5)
    row = await Card.raw().find_one({"_id": ObjectId(programme.card)})
    assert row is not None
    assert "spendLimit" not in row


@pytest.mark.parametrize(
    "patch", [{"userId": None}, {"lastFour": "1111"}, {"accountId": "f" * 24}, {"x": 1}], ids=repr
)
async def test_a_card_keeps_its_account_its_digits_and_a_user(
    programme: Programme, patch: Any
) -> None:
    refused = await programme.manager.merge(programme.card_path, patch)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        f"/{next(iter(patch))}",
    )
    assert (await programme.manager.get(programme.card_path)).json()["version"] == 1


WAYS = {
    "pending": ["open", "closed"],
    "open": ["paused", "closed"],
    "paused": ["open", "closed"],
    "closed": [],
}
TO = {"pending": [], "open": ["open"], "paused": ["open", "paused"], "closed": ["closed"]}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("after", ["pending", "open", "paused", "closed", "orphaned"])
async def test_a_status_moves_one_of_its_ways_and_no_other(
    programme: Programme, status: str, after: str
) -> None:
    for step in TO[status]:
        assert (await programme.manager.merge(programme.card_path, {"status": step})).json()[
            "status"
        ] == step
    before = (await programme.manager.get(programme.card_path)).json()
    moved = await programme.manager.merge(programme.card_path, {"status": after})
    if after == status:
        assert (moved.status_code, moved.json()) == (200, before)
    elif after in WAYS[status]:
        assert (moved.status_code, moved.json()["status"]) == (200, after)
    else:
        assert (moved.status_code, moved.json()["code"]) == (409, "bad_transition")
        assert (await programme.manager.get(programme.card_path)).json() == before


@pytest.mark.parametrize("status", ["closed", "orphaned"])
async def test_a_final_card_changes_no_more(programme: Programme, status: str) -> None:
    await Card.raw().update_one({"_id": ObjectId(programme.card)}, {"$set": {"status": status}})
    for patch in ({"status": "open"}, {"spendingProfileId": None}, {"spendLimit": 7}):
        refused = await programme.manager.merge(programme.card_path, patch)
        assert (refused.status_code, refused.json()["code"]) == (409, "bad_transition")
    assert (await programme.manager.get(programme.card_path)).json()["version"] == 1


async def test_a_card_is_closed_not_deleted(programme: Programme) -> None:
    refused = await programme.manager.delete(programme.card_path)
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH"}
    assert await Card.raw().count_documents({}) == 1


async def test_a_stale_patch_returns_the_current_card(programme: Programme) -> None:
    match = {"If-Match": '"1"'}
    current = (
        await programme.manager.merge(programme.card_path, {"status": "open"}, headers=match)
    ).json()
    stale = await programme.manager.merge(programme.card_path, {"status": "closed"}, headers=match)
    assert (stale.status_code, stale.json()["current"], version_of(stale)) == (412, current, 2)


async def test_a_repeated_creation_makes_one_card(programme: Programme) -> None:
    body = {"userId": programme.holder.id, "lastFour": "1881"}
    key = {"Idempotency-Key": "card-1"}
    first = await programme.manager.post(cards(programme), json=body, headers=key)
    again = await programme.manager.post(cards(programme), json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert await Card.raw().count_documents({}) == 2


async def test_cards_are_listed_newest_first_and_filtered(programme: Programme) -> None:
    mine = await a_card(programme)
    theirs = await a_card(
        programme, userId=programme.colleague.id, spendingProfileId=programme.spare, status="open"
    )
    ids = [path.rsplit("/", 1)[1] for path in (theirs, mine)] + [programme.card]

    async def listed(**params: Any) -> list[str]:
        answer = await programme.manager.get(cards(programme), params=params)
        return [card["id"] for card in answer.json()["items"]]

    assert await listed() == ids
    assert await listed(userId=programme.holder.id) == ids[1:]
    assert await listed(status="open") == ids[:1]
    assert await listed(spendingProfileId=programme.profile) == ids[2:]
    assert (
        await listed(
            userId=programme.colleague.id, status="open", spendingProfileId=programme.spare
        )
        == ids[:1]
    )
    assert await listed(userId=programme.colleague.id, status="pending") == []
    first = (
        await programme.manager.get(cards(programme), params={"limit": 2, "status": "pending"})
    ).json()
    assert ([card["id"] for card in first["items"]], first["nextCursor"]) == (ids[1:], None)
    page = (await programme.manager.get(cards(programme), params={"limit": 2})).json()
    rest = (
        await programme.manager.get(
            cards(programme), params={"limit": 2, "cursor": page["nextCursor"]}
        )
    ).json()
    assert [card["id"] for card in page["items"] + rest["items"]] == ids


@pytest.mark.parametrize(
    "query", [{"status": "lost"}, {"userId": "x"}, {"expand": "owner"}, {"expand": "user,"}]
)
async def test_a_filter_that_means_nothing_is_refused(programme: Programme, query: Any) -> None:
    refused = await programme.manager.get(cards(programme), params=query)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        f"?{next(iter(query))}",
    )


async def test_user_and_profile_are_embedded_by_one_query(
    programme: Programme, recorder: Any
) -> None:
    await a_card(programme, userId=programme.colleague.id)
    before = set(recorder.commands)
    answer = await programme.manager.get(
        cards(programme), params={"expand": "user,spendingProfile"}
    )
    bare, full = answer.json()["items"]
    assert (full["user"]["name"], full["spendingProfile"]["name"]) == ("Holder", "Travel")
    assert (full["user"]["id"], full["spendingProfile"]["id"]) == (
        programme.holder.id,
        programme.profile,
    )
    assert bare["user"]["name"] == "Colleague"
    assert "spendingProfile" not in bare
    fresh = [command for shape, command in recorder.commands.items() if shape not in before]
    assert [next(iter(command.values())) for command in fresh if "aggregate" in command] in (
        ["cards"],
        [],
    )
    one = await programme.manager.get(programme.card_path, params={"expand": "user"})
    assert one.json()["user"]["name"] == "Holder"
    assert "etag" not in one.headers
    assert "user" not in (await programme.manager.get(programme.card_path)).json()
