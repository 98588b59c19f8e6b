"""Budgets: how often something was done in a span of time, counted for all processes together."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import Field
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from models.base import Session, Stored, Timestamp, now


class Paced(NamedTuple):
    """Whether one more was counted, and when its debt is paid off; where it was not, when it would
    be."""

    counted: bool
    until: datetime


class Budget(Stored):
    """A counter. `_id` names what is counted, for whom (a keyed hash), and in which span."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    spent: int = 0
    expires_at: Timestamp

    class Settings:
        name = "budgets"

    @classmethod
    async def spend(cls, name: str, expires_at: datetime, *, session: Session = None) -> int:
        """Count one more, in one atomic operation; how many there are now."""
        row: Any = await cls.raw().find_one_and_update(
            {"_id": name},
            {"$inc": {"spent": 1}, "$setOnInsert": {"expiresAt": expires_at}},
            upsert=True,
            session=session,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["spent"])

    @classmethod
    async def take(cls, name: str, count: int, most: int, expires_at: datetime) -> bool:
        """Count so many more, unless that would be more than `most`; in one atomic operation.

        Returns:
            Whether they were counted.
        """
        if count > most:
            return False
        where = {"_id": name, "spent": {"$lte": most - count}}
        counted = {"$inc": {"spent": count}}
        try:
            await cls.raw().update_one(
                where, {**counted, "$setOnInsert": {"expiresAt": expires_at}}, upsert=True
            )
        except DuplicateKeyError:  # it is used up, or somebody else has just begun it
            return (await cls.raw().update_one(where, counted)).matched_count == 1
        return True

    @classmethod
    async def give_back(cls, name: str, count: int) -> None:
        """Count so many less, in one atomic operation."""
        await cls.raw().update_one({"_id": name}, {"$inc": {"spent": -count}})

    @classmethod
    async def pace(cls, name: str, interval: timedelta, burst: int = 1) -> Paced:
        """Count one more, where each adds an interval to a debt that time pays off, and the debt
        has room for it.

        This is the generic cell rate algorithm: `burst` at once, then one in each interval.
            `expiresAt` is when the
        debt is paid off. One atomic operation.

        Returns:
            Whether it was counted, and when its debt is paid off, or else when it would be counted.
        """
        moment = now()
        room = interval * (burst - 1)
        longer = {"$add": [{"$max": ["$expiresAt", moment]}, int(interval.total_seconds() * 1000)]}
        change = {"expiresAt": longer, "spent": {"$add": [{"$ifNull": ["$spent", 0]}, 1]}}
        where = {"_id": name, "expiresAt": {"$lte": moment + room}}
        while True:
            try:
                row: Any = await cls.raw().find_one_and_update(
                    where, [{"$set": change}], upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                row = await cls.raw().find_one({"_id": name}, {"expiresAt": 1})
                if row is not None and row["expiresAt"] > moment + room:
                    return Paced(counted=False, until=row["expiresAt"] - room)
            else:
                # else two were first at once, or TTL took it
                return Paced(counted=True, until=row["expiresAt"])

    @classmethod
    async def pay_back(cls, name: str, interval: timedelta, until: datetime) -> None:
        """Count one less that `pace` counted: what of its interval time has not paid off yet.

        Args:
            name: of the counter.
            interval: that it was counted with.
            until: when its debt is paid off. Time that has passed is not given back: it has paid
                for others, too.
        """
        left = min(interval, until - now())
        if left <= timedelta(0):
            return
        milliseconds = int(left.total_seconds() * 1000)
        change = {
            "expiresAt": {"$subtract": ["$expiresAt", milliseconds]},
            "spent": {"$subtract": ["$spent", 1]},
        }
        await cls.raw().update_one({"_id": name}, [{"$set": change}])

    @classmethod
    async def let_go(cls, name: str) -> None:
        """Forget what was counted."""
        await cls.raw().delete_one({"_id": name})

    @classmethod
    async def is_there(cls, name: str, *, session: Session = None) -> bool:
        """Whether anything of this name was counted."""
        return await cls.raw().find_one({"_id": name}, {"_id": 1}, session=session) is not None
