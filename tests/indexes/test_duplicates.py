"""What apply does when a unique index meets duplicates: it names them, and changes nothing."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from indexes import sync
from indexes.duplicates import GROUPS_SHOWN, Duplicates, DuplicatesFound, find_duplicates
from models.base import Raw
from tests.factories.indexes import everything, indexes, mend


async def test_duplicates_are_named_by_id_and_nothing_at_all_is_changed(
    database: AsyncDatabase[Raw],
) -> None:
    await database.users.drop_index("email_1")
    await database.activities.drop_index("userId_1")
    await database.users.create_index({"stray": 1})
    same = [{"_id": ObjectId(), "email": "ann@example.com"} for _ in range(3)]
    await database.users.insert_many(
        [*same, {"email": "bob@example.com"}, {"name": "no email"}, {"name": "none"}]
    )
    before = await everything(database)
    with pytest.raises(DuplicatesFound) as caught:
        await mend(database, replace=True, prune=True)
    (found,) = caught.value.duplicates
    assert (found.collection, found.fields) == ("users", ("email",))
    assert [(count, set(ids)) for count, ids in found.groups] == [(3, {row["_id"] for row in same})]
    assert all(str(row["_id"]) in str(caught.value) for row in same)
    assert "ann@" not in str(caught.value)
    after = await everything(database)
    after.pop("leases")
    assert after == before


async def test_duplicates_of_several_collections_are_all_told_at_once(
    database: AsyncDatabase[Raw],
) -> None:
    user = ObjectId()
    for collection in (database.profiles, database.preferences):
        await collection.drop_index("userId_1")
        await collection.insert_many([{"userId": user}, {"userId": user}])
    with pytest.raises(DuplicatesFound) as caught:
        await mend(database)
    assert [found.collection for found in caught.value.duplicates] == ["profiles", "preferences"]


async def test_an_absent_value_and_null_are_duplicates_of_each_other(
    database: AsyncDatabase[Raw],
) -> None:
    await database.profiles.drop_index("userId_1")
    await database.profiles.insert_many([{"userId": None}, {"bio": "no user"}])
    with pytest.raises(DuplicatesFound, match="same userId"):
        await mend(database)


async def test_of_many_duplicates_the_first_are_shown(database: AsyncDatabase[Raw]) -> None:
    await database.profiles.drop_index("userId_1")
    await database.profiles.insert_many([{"userId": user} for user in range(25) for _ in range(12)])
    with pytest.raises(DuplicatesFound) as caught:
        await mend(database)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + GROUPS_SHOWN + 1
    assert lines[1].endswith(" and 2 more")
    assert lines[-1] == "  and others"


async def test_duplicates_in_the_way_of_a_replacement_leave_the_old_index(
    database: AsyncDatabase[Raw],
) -> None:
    await database.profiles.drop_index("userId_1")
    await database.profiles.create_index({"userId": 1})
    await database.profiles.insert_many([{"userId": 1}, {"userId": 1}])
    with pytest.raises(DuplicatesFound):
        await mend(database, replace=True)
    assert set(await indexes(database, "profiles")) == {"_id_", "userId_1"}


@pytest.mark.parametrize("old", [None, {}])
async def test_a_duplicate_that_is_written_after_the_look_changes_nothing_and_does_not_leak(
    database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch, old: dict[str, Any] | None
) -> None:
    await database.users.drop_index("email_1")
    if old is not None:
        await database.users.create_index({"email": 1}, **old)
    before = await indexes(database, "users")
    look = find_duplicates
    looks = 0

    async def write_after(*arguments: Any) -> Duplicates | None:
        nonlocal looks
        looks += 1
        found = await look(*arguments)
        if looks == 1:
            await database.users.insert_many(
                [{"email": "ann@example.com"}, {"email": "ann@example.com"}]
            )
        return found

    monkeypatch.setattr(sync, "find_duplicates", write_after)
    with pytest.raises(DuplicatesFound, match="same email") as caught:
        await mend(database, replace=True)
    assert caught.value.__context__ is None
    assert await indexes(database, "users") == before
