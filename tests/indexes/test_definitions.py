"""The required list, written out again, against what mongod has once the table is applied."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from indexes.cards import REQUIRED_CARDS
from indexes.definitions import INDEXES, REQUIRED, TABLES
from models.base import Raw

Keys = list[tuple[str, int]]

REQUIRED_LIST: list[tuple[str, Keys, dict[str, Any]]] = [
    # The one exception: unique where there is an email, since people who sign up by phone have
    # none.
    ("users", [("email", 1)], {"unique": True, "partialFilterExpression": {"email": {"$gt": ""}}}),
    ("users", [("valuUserId", 1)], {"sparse": True}),
    ("users", [("merkosUserId", 1)], {"sparse": True}),
    ("users", [("email", 1), ("valuUserId", 1)], {}),
    ("users", [("email", 1), ("merkosUserId", 1)], {}),
    ("profiles", [("userId", 1)], {"unique": True}),
    ("preferences", [("userId", 1)], {"unique": True}),
    ("activities", [("userId", 1)], {}),
    ("activities", [("appId", 1)], {}),
    ("activities", [("timestamp", 1)], {"expireAfterSeconds": 7_776_000}),
    ("activities", [("sessionId", 1)], {}),
    ("activities", [("userId", 1), ("timestamp", -1)], {}),
    ("activities", [("appId", 1), ("timestamp", -1)], {}),
    ("activities", [("sessionId", 1), ("timestamp", -1)], {}),
    ("activities", [("eventType", 1), ("timestamp", -1)], {}),
    ("appdata", [("userId", 1)], {}),
    ("appdata", [("appId", 1)], {}),
    ("appdata", [("userId", 1), ("appId", 1)], {}),
    ("appdata", [("userId", 1), ("appId", 1), ("dataKey", 1)], {"unique": True}),
    ("analytics", [("userId", 1)], {}),
    ("analytics", [("eventName", 1)], {}),
    ("analytics", [("eventCategory", 1)], {}),
    ("analytics", [("timestamp", 1)], {}),
    ("analytics", [("userId", 1), ("timestamp", -1)], {}),
    ("analytics", [("eventCategory", 1), ("timestamp", -1)], {}),
    ("analytics", [("eventName", 1), ("timestamp", -1)], {}),
    ("analytics", [("appId", 1), ("timestamp", -1)], {}),
    ("analytics", [("sessionId", 1), ("timestamp", -1)], {}),
]

REQUIRED_CARDS_LIST: list[tuple[str, Keys, dict[str, Any]]] = [
    ("users", [("accountId", 1)], {}),
    ("cards", [("accountId", 1)], {}),
    ("cards", [("userId", 1)], {}),
    ("cards", [("spendingProfileId", 1)], {}),
    ("spendingprofiles", [("accountId", 1)], {}),
    ("cards", [("accountId", 1), ("userId", 1)], {}),
    ("cards", [("accountId", 1), ("status", 1)], {}),
]


@pytest.fixture
async def listed(database: AsyncDatabase[Raw]) -> dict[str, dict[str, Raw]]:
    """Collection -> name -> what `listIndexes` says, without version and name."""
    names = [document.collection_name() for document in INDEXES]
    return {
        name: {
            row["name"]: {
                field: value for field, value in row.items() if field not in ("v", "name")
            }
            async for row in await database[name].list_indexes()
        }
        for name in names
    }


async def test_mongod_has_every_index_of_the_seeds_by_name_keys_and_options(
    listed: dict[str, dict[str, Raw]],
) -> None:
    for collection, keys, options in REQUIRED_LIST + REQUIRED_CARDS_LIST:
        name = "_".join(f"{field}_{direction}" for field, direction in keys)
        found = listed[collection][name]
        assert list(found.pop("key").items()) == keys
        assert found == options, f"{collection}.{name}"


@pytest.mark.parametrize(
    ("ours", "listing"),
    [(REQUIRED, REQUIRED_LIST), (REQUIRED_CARDS, REQUIRED_CARDS_LIST)],
    ids=["users", "cards"],
)
def test_the_seeds_list_in_the_table_has_nothing_else(
    ours: Any, listing: list[tuple[str, Keys, Any]]
) -> None:
    table = {
        (document.collection_name(), tuple(index.keys.items()))
        for document, table in ours.items()
        for index in table
    }
    assert table == {(collection, tuple(keys)) for collection, keys, _ in listing}


async def test_mongod_has_nothing_but_the_table(listed: dict[str, dict[str, Raw]]) -> None:
    for document, table in INDEXES.items():
        assert set(listed[document.collection_name()]) == {"_id_", *(index.name for index in table)}


def test_names_are_the_drivers_defaults() -> None:
    names = [index.name for table in INDEXES.values() for index in table]
    assert "userId_1_timestamp_-1" in names
    assert "userId_1_appId_1_dataKey_1" in names


def test_no_index_is_in_both_lists_and_each_says_what_it_serves() -> None:
    for document, table in INDEXES.items():
        keys = [tuple(index.keys.items()) for index in table]
        assert len(keys) == len(set(keys)), document.__name__
        assert all(index.serves for index in table)
    assert set(INDEXES) == {document for table in TABLES for document in table}
