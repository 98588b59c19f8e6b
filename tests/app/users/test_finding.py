"""People are found by what is theirs alone, and listed by what they have in common."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from indexes import sync
from models.auth_identity import AuthIdentity
from models.base import Raw, now, rfc3339
from models.user import User
from tests.cast import Cast
from tests.harness import Caller

NAMES = ["Zoë", "zoe anders", "Ann", "anna", "Ánnika", "Bob", "ann"]


@pytest.fixture
async def people(cast: Cast) -> dict[str, str]:
    """Name -> id; each with ids elsewhere, one with a phone."""
    found = {}
    for number, name in enumerate(NAMES):
        body = {"name": name, "email": f"u{number}@example.com", "valuUserId": f"v-{number}"}
        body |= {"merkosUserId": f"m-{number}", "role": "creator" if number % 2 else "brand"}
        found[name] = (await cast.admin.post("/v1/users", json=body)).json()["id"]
    bob: Any = ObjectId(found["Bob"])
    await AuthIdentity(user_id=bob, provider="phone", provider_id="+14155550123").add()
    return found


async def names(caller: Caller, **query: Any) -> list[str]:
    answer = await caller.get("/v1/users", params=query)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()["items"]]


@pytest.mark.parametrize(
    "query",
    [
        {"email": " U5@Example.com "},
        {"phone": "+1 (415) 555-0123"},
        {"valuUserId": "v-5"},
        {"merkosUserId": "m-5"},
        {"email": "u5@example.com", "valuUserId": "v-5"},
        {"email": "u5@example.com", "merkosUserId": "m-5", "role": "creator", "prefix": "bo"},
        {"phone": "+14155550123", "valuUserId": "v-5"},
        {"valuUserId": "v-5", "from": "2020-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"},
    ],
)
async def test_a_person_is_found_by_what_is_theirs(
    cast: Cast, people: dict[str, str], query: dict[str, str]
) -> None:
    assert await names(cast.reader, **query) == ["Bob"]


@pytest.mark.parametrize(
    "query",
    [
        {"email": "u5@example.com", "valuUserId": "v-4"},
        {"phone": "+14155550123", "valuUserId": "v-4"},
        {"phone": "+14155550199"},
        {"valuUserId": "v-5", "role": "brand"},
        {"valuUserId": "v-5", "prefix": "z"},
        {"valuUserId": "v-5", "to": "2020-01-01T00:00:00Z"},
        {"valuUserId": "v-5", "accountId": "f" * 24},
        {"valuUserId": "V-5"},
    ],
)
async def test_whoever_lacks_one_of_several_is_not_found(
    cast: Cast, people: dict[str, str], query: dict[str, str]
) -> None:
    assert await names(cast.reader, **query) == []


async def test_names_are_listed_by_their_letters_page_by_page(
    cast: Cast, people: dict[str, str]
) -> None:
    assert await names(cast.reader, prefix="ZOE") == ["Zoë", "zoe anders"]
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        query = {"prefix": "an", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await cast.reader.get("/v1/users", params=query)).json()
        seen += [each["name"] for each in page["items"]]
        cursor = page["nextCursor"]
    assert seen == ["Ann", "ann", "anna", "Ánnika"]
    assert cursor is None
    assert await names(cast.reader, prefix="ann", role="creator") == ["anna"]
    assert await names(cast.reader, prefix="$") == []


async def test_a_role_an_account_and_a_span_are_listed_the_newest_first(
    cast: Cast, people: dict[str, str]
) -> None:
    creators = [name for number, name in enumerate(NAMES) if number % 2][::-1]
    assert await names(cast.reader, role="creator") == creators
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    for name in ("Bob", "anna"):
        await cast.admin.merge(f"/v1/users/{people[name]}", {"accountId": account})
    assert await names(cast.reader, accountId=account) == ["Bob", "anna"]
    assert await names(cast.reader, accountId=account, prefix="b") == ["Bob"]
    moment = now() - timedelta(days=400)
    old: Any = ObjectId.from_datetime(moment)
    await User(id=old, name="Old", created_at=moment).add()
    until = rfc3339(moment + timedelta(hours=1))
    assert await names(cast.reader, to=until) == ["Old"]
    assert await names(cast.reader, **{"from": rfc3339(moment), "to": until}) == ["Old"]
    assert "Old" not in await names(cast.reader, **{"from": until})
    far = {"from": "0001-01-01T00:00:00Z", "to": "5833-01-21T05:47:20Z"}
    assert await names(cast.reader, **far) == await names(cast.reader)
    assert await names(cast.reader, **{"from": far["to"]}) == []


@pytest.mark.parametrize("where", [{"role": "creator"}, {"role": "creator", "status": "inactive"}])
async def test_a_list_by_name_and_role_reads_nobody_without_the_role(
    where: Raw, database: AsyncDatabase[Raw]
) -> None:
    await sync.apply(database, await sync.plan(database))
    fields: Raw = {"createdAt": now(), "updatedAt": now(), "version": 1, "status": "inactive"}
    roles: list[Raw] = [{"role": "creator"} if each % 40 == 0 else {} for each in range(400)]
    rows = [{**fields, "name": f"Ann {number}", **role} for number, role in enumerate(roles)]
    await User.raw().insert_many(
        [{**row, "email": f"u{n}@e.example"} for n, row in enumerate(rows)]
    )
    await database.command({"profile": 2, "filter": {"ns": f"{database.name}.users"}})
    try:
        assert len(await User.page_by_name("ann", where, 51)) == 10
    finally:
        await database.command({"profile": 0})
    told = await database["system.profile"].find_one({"command.find": "users"}) or {}
    assert (told["docsExamined"], told["keysExamined"], "hasSortStage" in told) == (10, 10, False)


@pytest.mark.parametrize("query", ["phone=12", "accountId=x", "role=boss", "prefix=", "status=x"])
async def test_what_nobody_can_be_sought_by_is_refused(cast: Cast, query: str) -> None:
    answer = await cast.reader.get(f"/v1/users?{query}")
    pointer = f"?{query.partition('=')[0]}"
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
