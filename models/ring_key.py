"""The keys of the key ring as the database knows them: which of them may seal no more."""

from collections.abc import Collection

from pydantic import Field

from models.base import Session, Stored, now


class RetiredKey(Exception):
    """The key that sealed a value is retired: the value is not stored. Seal it anew, with the ring
    as it is now."""


class RingKey(Stored):
    """One key of the ring, by its id; never the key itself.

    `guard` goes up with each value that is stored under the key, in the same transaction, so that a
    removal, which retires the key first, comes before that transaction or after it: what it then
    counts is all that there will be.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    retired: bool = False
    guard: int = 0

    class Settings:
        name = "ringkeys"

    @classmethod
    async def use(cls, key_ids: Collection[str], session: Session) -> None:
        """Note that values sealed with these keys are stored in this transaction.

        Raises:
            RetiredKey: one of them is retired.
            RuntimeError: there is no transaction.
        """
        if session is None:
            raise RuntimeError("sealed values are stored in a transaction")
        for key_id in sorted(key_ids):
            where = {"_id": key_id, "retired": False}
            if (
                await cls.raw().update_one(where, {"$inc": {"guard": 1}}, session=session)
            ).matched_count:
                continue
            if await cls.raw().find_one({"_id": key_id}, {"_id": 1}, session=session) is not None:
                raise RetiredKey
            await cls(id=key_id, guard=1).add(session)

    @classmethod
    async def retire(cls, key_id: str) -> None:
        """Have no value stored any more that is sealed with this key. Waits for transactions that
        store one."""
        fresh = cls(id=key_id).stored()
        del fresh["_id"], fresh["retired"], fresh["updatedAt"]
        update = {"$set": {"retired": True, "updatedAt": now()}, "$setOnInsert": fresh}
        await cls.raw().update_one({"_id": key_id}, update, upsert=True)
