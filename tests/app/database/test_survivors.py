"""A merge chain, a sync that another overtook, a receipt of what somebody else took meanwhile."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from beanie import PydanticObjectId
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.database import transaction
from app.relations.take import take
from app.work import HOOKS
from models import connection
from models.activity import Activity
from models.base import now
from models.connection import Connection
from models.deletion import Deletion
from models.person import PersonMerge
from models.relations import RELATIONS
from models.user import User

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


async def test_a_chain_of_merges_is_followed_to_its_end(database: Any) -> None:
    told = {"createdAt": AT, "updatedAt": AT, "version": 1}
    await PersonMerge.raw().insert_many(
        [{"_id": old, "into": old + 1, **told} for old in (0, 1, 2)]
    )
    assert await PersonMerge.pending() == {0: 3, 1: 3, 2: 3}


async def connected() -> ObjectId:
    """A connection that nobody syncs."""
    row: dict[str, Any] = {
        "_id": ObjectId(),
        "userId": ObjectId(),
        "provider": "sandbox",
        "institution": "b",
    }
    row |= {
        "label": "l",
        "accessToken": {"v": 1},
        "status": "connected",
        "authenticatedAt": AT,
        "syncFence": 0,
    }
    await Connection.raw().insert_one({**row, "createdAt": AT, "updatedAt": AT, "version": 1})
    return ObjectId(row["_id"])


async def test_a_sync_that_was_overtaken_renews_no_more(database: Any) -> None:
    moment, connection_id = now(), await connected()
    until = moment + timedelta(seconds=60)
    first = await Connection.begin_sync(
        connection_id, moment - timedelta(seconds=1)
    )  # over when it begins
    second = await Connection.begin_sync(connection_id, until)
    assert first and second
    assert [await first.renew(until), await second.renew(until)] == [False, True]


async def test_a_receipt_counts_what_was_still_there(database: Any) -> None:
    user_id = PydanticObjectId()
    for _ in range(3):
        await Activity(user_id=user_id, app_id="notes", event_type="e").add()
    relation = next(each for each in RELATIONS if each.child is Activity and each.parent is User)
    rows = await Activity.raw().find({"userId": user_id}, {"_id": 1, "userId": 1}).to_list()
    await Activity.raw().delete_one(
        {"_id": rows[0]["_id"]}
    )  # TTL, between the look and the transaction
    entry = Deletion(id=user_id, root="users", by="test", at=AT)
    counts = await transaction(
        lambda session: take(relation, rows, {ObjectId(user_id): entry}, session, HOOKS)
    )
    assert counts.total() == 2


OFTEN = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
SYNCS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 2)),
        st.tuples(st.sampled_from(["renew", "progress", "hint", "end"]), st.integers(0, 3)),
    ),
    min_size=3,
    max_size=15,
)


@OFTEN
@given(story=SYNCS)
async def test_of_many_syncs_only_the_last_that_began_writes_and_only_until_it_ends(
    database: Any, monkeypatch: pytest.MonkeyPatch, story: list[tuple[str, int]]
) -> None:
    connection_id, moment, second = await connected(), AT, timedelta(seconds=1)
    monkeypatch.setattr(connection, "now", lambda: moment)
    begun: list[Connection] = []
    until: datetime | None = None  # of the lease that is held
    cursor: str | None = None
    for number, (kind, value) in enumerate(story):
        if kind == "wait":
            moment += value * second
        elif kind == "begin":
            found = await Connection.begin_sync(connection_id, moment + value * second)
            assert (found is None) == (until is not None and until > moment)
            if found is not None:
                begun.append(found)
                until = moment + value * second
        elif begun:
            chosen = begun[-1 - value % len(begun)]
            is_held = chosen is begun[-1] and until is not None
            later = moment + 2 * second
            if kind == "renew":
                assert await chosen.renew(later) is is_held
            elif kind == "progress":
                assert (
                    await chosen.note_progress(f"c{number}", later, 1, [], session=None) is is_held
                )
                cursor = f"c{number}" if is_held else cursor
            elif kind == "hint":
                assert await chosen.take_hint() is is_held
            else:
                assert (await chosen.end_sync({"failures": number}) is not None) is is_held
            if is_held and kind != "hint":
                until = None if kind == "end" else later
        row = await Connection.raw().find_one({"_id": connection_id}) or {}
        assert (row.get("cursor"), row.get("running", {}).get("until")) == (cursor, until)


@OFTEN
@given(children=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=8))
async def test_a_receipt_counts_for_each_root_what_was_still_there(
    database: Any, children: list[tuple[int, bool]]
) -> None:
    users = [PydanticObjectId() for _ in range(3)]
    relation = next(each for each in RELATIONS if each.child is Activity and each.parent is User)
    for owner, _ in children:
        await Activity(user_id=users[owner], app_id="notes", event_type="e").add()
    rows = (
        await Activity.raw()
        .find({"userId": {"$in": users}}, {"_id": 1, "userId": 1})
        .sort("_id", 1)
        .to_list()
    )
    gone = [row["_id"] for row, (_, is_gone) in zip(rows, children, strict=True) if is_gone]
    await Activity.raw().delete_many({"_id": {"$in": gone}})
    entries = {ObjectId(user): Deletion(id=user, root="users", by="test", at=AT) for user in users}
    counts = await transaction(lambda session: take(relation, rows, entries, session, HOOKS))
    assert counts == Counter(users[owner] for owner, is_gone in children if not is_gone)
    assert (
        await transaction(lambda session: take(relation, rows, entries, session, HOOKS))
        == Counter()
    )
