"""A merge chain, a sync that another overtook, a receipt of what somebody else took meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId

from app.database import transaction
from app.relations.take import take
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
    await PersonMerge.raw().insert_many([{"_id": old, "into": old + 1, **told} for old in (0, 1, 2)])
    assert await PersonMerge.pending() == {0: 3, 1: 3, 2: 3}


async def test_a_sync_that_was_overtaken_renews_no_more(database: Any) -> None:
    moment = now()
    row: dict[str, Any] = {"_id": ObjectId(), "userId": ObjectId(), "provider": "sandbox", "institution": "b"}
    row |= {"label": "l", "accessToken": {"v": 1}, "status": "connected", "authenticatedAt": AT, "syncFence": 0}
    await Connection.raw().insert_one({**row, "createdAt": AT, "updatedAt": AT, "version": 1})
    until = moment + timedelta(seconds=60)
    first = await Connection.begin_sync(row["_id"], moment - timedelta(seconds=1))  # over when it begins
    second = await Connection.begin_sync(row["_id"], until)
    assert first and second
    assert [await first.renew(until), await second.renew(until)] == [False, True]


async def test_a_receipt_counts_what_was_still_there(database: Any) -> None:
    user_id = PydanticObjectId()
    for _ in range(3):
        await Activity(user_id=user_id, app_id="notes", event_type="e").add()
    relation = next(each for each in RELATIONS if each.child is Activity and each.parent is User)
    rows = await Activity.raw().find({"userId": user_id}, {"_id": 1, "userId": 1}).to_list()
    await Activity.raw().delete_one({"_id": rows[0]["_id"]})  # TTL, between the look and the transaction
    entry = Deletion(id=user_id, root="users", by="test", at=AT)
    counts = await transaction(lambda session: take(relation, rows, {ObjectId(user_id): entry}, session))
    assert counts.total() == 2
