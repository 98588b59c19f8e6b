"""Guard documents: a parent's `guard`, cut into stripes, so that many can be given children at
once."""

from typing import Any, Final

from bson import ObjectId
from pydantic import Field
from pymongo.errors import OperationFailure

from models.base import WRITE_CONFLICT, Overtaken, Session, Stored, Timestamp

STRIPES: Final = 16
_ASKED_FOR_SECONDS: Final = 5
_IS_ASKED: Final[dict[str, Any]] = {"$gt": ["$closesUntil", "$$NOW"]}


class Guard(Stored):
    """One stripe. `_id` is `<parent's id>:<number>`. A parent takes children while its stripes are
    there."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    guard: int = 0
    closes_until: Timestamp | None = None

    class Settings:
        name = "guards"

    @classmethod
    async def open(cls, parent_id: ObjectId, *, session: Session) -> None:
        """Let a parent take children. In the transaction that makes it, or makes it active
        again."""
        await cls.raw().insert_many(
            [cls(id=name).stored() for name in _names(parent_id)], session=session
        )

    @classmethod
    async def ask_to_close(cls, parent_id: ObjectId) -> None:
        """Ask all who give a parent children to wait for a few seconds: closing it takes
        precedence.

        Outside a transaction, so it waits for those that have counted up already. Without this
        whoever closes, and has to have every stripe, would lose against a handful of writers, each
        of which needs one, for as long as they go on. The mark passes by itself, by the database's
        clock, where who asked is gone.
        """
        until = {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": _ASKED_FOR_SECONDS}}
        await cls.raw().update_many(
            {"_id": {"$in": _names(parent_id)}}, [{"$set": {"closesUntil": until}}]
        )

    @classmethod
    async def stay_open(cls, parent_id: ObjectId) -> None:
        """Nothing came of closing: nobody needs to wait any more."""
        await cls.raw().update_many(
            {"_id": {"$in": _names(parent_id)}}, {"$unset": {"closesUntil": ""}}
        )

    @classmethod
    async def close(cls, parent_id: ObjectId, *, session: Session) -> None:
        """Let a parent take no more children: conflicts with every transaction that is giving it
        one.

        Raises:
            Overtaken: it has conflicted, see `ask_to_close`.
        """
        try:
            await cls.raw().delete_many({"_id": {"$in": _names(parent_id)}}, session=session)
        except OperationFailure as error:
            if error.code == WRITE_CONFLICT:
                raise Overtaken(closing=parent_id) from error
            raise

    @classmethod
    async def count_up(cls, parent_id: ObjectId, by: ObjectId, *, session: Session) -> bool:
        """Give a parent a child; False where it takes none.

        Args:
            parent_id: the parent.
            by: the child's id, which chooses the stripe.
            session: of the transaction that inserts the child.

        Raises:
            Overtaken: it is about to take none.
        """
        name = _names(parent_id)[by.binary[-1] % STRIPES]
        free = {"_id": name, "$expr": {"$not": _IS_ASKED}}
        if (
            await cls.raw().update_one(free, {"$inc": {"guard": 1}}, session=session)
        ).matched_count == 1:
            return True
        if await cls.raw().count_documents({"_id": name}, limit=1, session=session):
            raise Overtaken
        return False


def _names(parent_id: ObjectId) -> list[str]:
    return [f"{parent_id}:{number}" for number in range(STRIPES)]
