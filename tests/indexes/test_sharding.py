"""A sharded cluster takes every write and every unique index, and each query that asks all shards
is known, with a reason."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from indexes import sync
from indexes.definitions import INDEXES
from indexes.findings import Kind
from indexes.index import SHARD_INDEX, Index
from indexes.sharding import REFUSED, SHARD_KEYS, TOGETHER, ShardKey, Zone, commands, drift
from models import DOCUMENTS, Analytics, AppData
from models.base import Raw, Stored
from models.relations import RELATIONS
from scripts.shard import NoClusterError, find_drift
from tests.indexes.recording import Recorded
from tests.indexes.routing import Sent, sent

KEYS = {document.collection_name(): key for document, key in SHARD_KEYS.items()}
SHARDED = pytest.mark.parametrize("document", SHARD_KEYS, ids=lambda each: each.__name__)
USER = ShardKey(("userId", "appId"), "of a test")


def asked(recorded: Recorded) -> list[tuple[str, Sent]]:
    """What the documents' operations ask of collections that are sharded, in transactions too."""
    named = ((next(iter(command.values())), command) for command in recorded[1].commands.values())
    return [(name, each) for name, command in named if name in KEYS for each in sent(command)]


@SHARDED
def test_every_unique_index_begins_with_the_shard_key(document: type[Stored]) -> None:
    """Else a shard could not know what is on the others."""
    fields = SHARD_KEYS[document].fields
    unique = [index for index in INDEXES[document] if index.options.get("unique")]
    assert [index for index in unique if tuple(index.keys)[: len(fields)] != fields] == []


@SHARDED
def test_an_index_with_every_document_begins_with_the_shard_key(document: type[Stored]) -> None:
    """MongoDB asks for one, and one that is partial or sparse does not do."""
    key = SHARD_KEYS[document]

    def serves(index: Index) -> bool:
        partial = {"partialFilterExpression", "sparse", "collation"} & set(index.options)
        return not partial and list(index.keys.items())[: len(key.fields)] == list(
            key.document.items()
        )

    assert any(map(serves, INDEXES[document])) is not key.needs_index


async def test_no_write_is_one_that_a_cluster_refuses_but_those_that_are_known(
    everything: Recorded,
) -> None:
    refused = {(name, each.shape) for name, each in asked(everything) if each.fault(KEYS[name])}
    assert refused == REFUSED.keys()


async def test_what_asks_every_shard_is_known_and_nothing_else_is(everything: Recorded) -> None:
    found: dict[str, set[str]] = {name: set() for name in KEYS}
    for name, each in asked(everything):
        if not each.is_routed(KEYS[name]):
            found[name].add(each.shape)
    assert found == {name: set(key.scatters) for name, key in KEYS.items()}


def test_what_a_deletion_sweeps_is_routed_by_its_parent() -> None:
    """But for events, which are spread by their messages."""
    swept = {
        relation.child
        for relation in RELATIONS
        if relation.child in SHARD_KEYS and relation.field == "user_id"
    }
    unrouted = [child for child in swept if SHARD_KEYS[child].fields[0] != "userId"]
    assert len(swept) > 5
    assert {child.__name__ for child in unrouted} == {"Analytics", "Transaction"}


def test_a_collection_is_spread_or_stays_together() -> None:
    assert not set(SHARD_KEYS) & set(TOGETHER)
    assert {*SHARD_KEYS, *TOGETHER} < set(DOCUMENTS)


@pytest.mark.parametrize(
    ("command", "routed", "refused"),
    [
        ({"find": "x", "filter": {"userId": 1, "version": {"$gt": 2}}}, True, False),
        ({"find": "x", "filter": {"userId": {"$in": [1, 2]}}}, True, False),
        ({"find": "x", "filter": {"userId": {"$gt": 1}}}, False, False),
        ({"find": "x", "filter": {"$or": [{"userId": 1}, {"userId": 2}]}}, True, False),
        ({"find": "x", "filter": {"$or": [{"userId": 1}, {"appId": 2}]}}, False, False),
        ({"aggregate": "x", "pipeline": [{"$match": {"$and": [{"userId": 1}]}}]}, True, False),
        ({"aggregate": "x", "pipeline": [{"$group": {"_id": None}}]}, False, False),
        ({"findAndModify": "x", "query": {"userId": 1}}, True, True),
        ({"findAndModify": "x", "query": {"userId": 1, "appId": "a"}}, True, False),
        ({"update": "x", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 1}}}]}, False, False),
        ({"update": "x", "updates": [{"q": {"a": 1}, "u": {"$set": {"a": 1}}}]}, False, True),
        (
            {"update": "x", "updates": [{"q": {"_id": 1}, "u": [{"$set": {"appId": "b"}}]}]},
            False,
            True,
        ),
        (
            {"update": "x", "updates": [{"q": {"userId": 1}, "u": {}, "upsert": True}]},
            True,
            True,
        ),
        ({"delete": "x", "deletes": [{"q": {"a": 1}, "limit": 1}]}, False, True),
        ({"delete": "x", "deletes": [{"q": {"a": 1}, "limit": 0}]}, False, False),
    ],
)
def test_the_rules_of_a_router(command: Raw, routed: bool, refused: bool) -> None:
    (each,) = sent(command)
    assert (each.is_routed(USER), each.fault(USER) is not None) == (routed, refused)


def test_the_commands_shard_every_collection_and_keep_apps_in_zones() -> None:
    lines = list(commands("satchel", [Zone("eu", "notes")]))
    assert len(lines) == len(SHARD_KEYS) + 2
    assert (
        'db.getSiblingDB("satchel").analytics.createIndex({appId: 1, messageId: 1},'
        ' {name: "shard_key"})'
    ) in lines
    assert lines[0] == 'sh.shardCollection("satchel.appdata", {userId: 1})'
    assert lines[-1] == (
        'sh.updateZoneKeyRange("satchel.analytics", {appId: "notes", messageId: MinKey()},'
        ' {appId: "notes", messageId: MaxKey()}, "eu")'
    )


def test_drift_is_told() -> None:
    right: list[dict[str, Any]] = [
        {"_id": f"satchel.{document.collection_name()}", "key": key.document}
        for document, key in SHARD_KEYS.items()
    ]
    others = [
        {"_id": "other.users", "key": {"a": 1}},
        {"_id": "satchel.apps", "key": {"_id": 1}, "unsplittable": True},
    ]
    assert drift("satchel", right + others) == []
    wrong = [*right[2:], {"_id": right[0]["_id"], "key": {"userId": "hashed"}}]
    wrong.append({"_id": "satchel.users", "key": {"_id": 1}})
    assert AppData.collection_name() == "appdata"
    assert drift("satchel", wrong) == [
        "satchel.appusage is not sharded",
        "satchel.appdata is sharded by {userId: hashed}, not by {userId: 1}",
        "satchel.users is sharded, and should not be",
    ]


async def test_a_replica_set_is_no_cluster(everything: Recorded) -> None:
    with pytest.raises(NoClusterError, match="mongos"):
        await find_drift(everything[0])


async def test_a_cluster_is_looked_at_through_its_router(
    everything: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel has no mongos, so what a router says of itself is made up; what it keeps of its
    collections is stored where it would be."""
    database, _ = everything

    async def hello(*_: Any) -> Raw:
        return {"msg": "isdbgrid"}

    known = database.client["config"]["collections"]
    await known.insert_many(
        {"_id": f"{database.name}.{document.collection_name()}", "key": key.document}
        for document, key in SHARD_KEYS.items()
    )
    try:
        with monkeypatch.context() as patched:
            patched.setattr(type(database), "command", hello)
            assert await find_drift(database) == []
            await known.delete_one({"_id": f"{database.name}.appdata"})
            assert await find_drift(database) == [f"{database.name}.appdata is not sharded"]
    finally:
        await known.drop()


async def test_an_index_for_a_shard_key_stands_beside_the_unique_one(
    database: AsyncDatabase[Raw],
) -> None:
    events = database[Analytics.collection_name()]
    await events.create_index({"appId": 1, "messageId": 1}, name=SHARD_INDEX)

    async def unknown() -> list[str]:
        found = (await sync.plan(database)).findings
        return [one.name for one in found if one.kind is Kind.UNKNOWN]

    assert await unknown() == []
    await sync.apply(database, await sync.plan(database), prune=True)
    assert SHARD_INDEX in await events.index_information()
    await events.create_index({"messageId": 1}, name="other")
    assert await unknown() == ["other"]
