"""Card queues: of one card or spending profile, how many events there are, and how many of them are
done."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import UpdateOne

from models import aside
from models.base import Raw, Session, Stored, Timestamp, now
from models.claims import claim_first

Update = dict[str, dict[str, object]]
LEASE: Final = timedelta(seconds=30)


class CardQueue(Stored):
    """The events of one card or spending profile, in order; `_id` is the id of that.

    Sequence numbers are given out by `last`, in the transaction that inserts the event; `done` is
    that of the last event that is dealt with, so the next is `done + 1`. `due_at` is both when to
    try and how long a worker's lease holds; what a worker writes names the `fence` of its claim.
    """

    id: PydanticObjectId = Field(alias="_id")
    account_id: PydanticObjectId
    last: int = 0
    done: int = 0
    waiting: Annotated[int, Field(description="`last - done`, for the index.")] = 0
    due_at: Timestamp
    fence: int = 0

    class Settings:
        name = "cardqueues"

    @classmethod
    async def next_sequences(
        cls, subjects: Collection[ObjectId], *, session: Session
    ) -> dict[ObjectId, tuple[ObjectId, int]]:
        """Give each of these subjects the sequence number of its next event.

        Returns:
            Subject -> its account and the number. A subject without a queue is left out: its
            account is going.
        """
        among = {"_id": {"$in": list(subjects)}}
        await cls.raw().update_many(among, {"$inc": {"last": 1, "waiting": 1}}, session=session)
        rows = await cls.raw().find(among, {"accountId": 1, "last": 1}, session=session).to_list()
        return {row["_id"]: (row["accountId"], row["last"]) for row in rows}

    @classmethod
    async def reserve(
        cls, counts: Mapping[ObjectId, int], *, session: Session
    ) -> dict[ObjectId, int]:
        """Give each of these subjects as many sequence numbers as are named.

        Returns:
            Subject -> the first of its numbers. A subject whose queue is gone, or cannot be counted
            on, is left out.
        """
        if not counts:
            return {}
        sound = {"last": {"$type": "number"}, "waiting": {"$type": "number"}}
        writes = [
            UpdateOne({"_id": subject, **sound}, {"$inc": {"last": count, "waiting": count}})
            for subject, count in counts.items()
        ]
        await cls.raw().bulk_write(writes, ordered=False, session=session)
        rows = (
            await cls.raw()
            .find({"_id": {"$in": list(counts)}, **sound}, {"last": 1}, session=session)
            .to_list()
        )
        return {row["_id"]: row["last"] - counts[row["_id"]] + 1 for row in rows}

    @classmethod
    async def claim(cls, but_of: Collection[Any] = ()) -> "CardQueue | None":
        """Take the queue that is longest due, for `LEASE`; None where none is. One that cannot be
        read is put off.

        Args:
            but_of: accounts whose queues are left alone.
        """
        while (row := await cls._claim_row(but_of)) is not None:
            if found := await aside.documents(cls, [row], aside.later("dueAt")):
                return found[0]
        return None

    @classmethod
    async def next_due(cls) -> datetime | None:
        """When the first queue with something in it can be claimed; None where none has."""
        return await cls.earliest("dueAt", {"waiting": {"$gt": 0}})

    @classmethod
    async def _claim_row(cls, but_of: Collection[Any]) -> Raw | None:
        moment = now()
        where: dict[str, object] = {"waiting": {"$gt": 0}, "dueAt": {"$lte": moment}}
        if but_of:
            where["accountId"] = {"$nin": list(but_of)}
        update: Raw = {"$set": {"dueAt": moment + LEASE, "fence": aside.counted("fence")}}
        return await claim_first(cls, where, "dueAt", [update])

    async def step(self, *, session: Session) -> bool:
        """Note that the next event is dealt with, and prolong the lease; False where the lease was
        lost."""
        update: Update = {"$inc": {"done": 1, "waiting": -1}, "$set": {"dueAt": now() + LEASE}}
        return await self._write(update, session=session)

    async def release(self, at: datetime, *, session: Session = None) -> bool:
        """Give the lease back, to be claimed again from then on; False where it was lost."""
        return await self._write({"$set": {"dueAt": at}}, session=session)

    async def remove(self, *, session: Session) -> bool:
        """Take the queue away with its last event; False where the lease was lost."""
        result = await self.raw().delete_one({"_id": self.id, "fence": self.fence}, session=session)
        return result.deleted_count == 1

    async def _write(self, update: Update, *, session: Session = None) -> bool:
        result = await self.raw().update_one(
            {"_id": self.id, "fence": self.fence}, update, session=session
        )
        return result.matched_count == 1
