"""Guard documents: a parent's `guard`, cut into stripes, so that many can be given children at once."""

from typing import Final

from bson import ObjectId
from pydantic import Field

from models.base import Session, Stored

STRIPES: Final = 16


class Guard(Stored):
    """One stripe. `_id` is `<parent's id>:<number>`. A parent takes children while its stripes are there."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    guard: int = 0

    class Settings:
        name = "guards"

    @classmethod
    async def open(cls, parent_id: ObjectId, *, session: Session) -> None:
        """Let a parent take children. In the transaction that makes it, or makes it active again."""
        await cls.raw().insert_many([cls(id=name).stored() for name in _names(parent_id)], session=session)

    @classmethod
    async def close(cls, parent_id: ObjectId, *, session: Session) -> None:
        """Let a parent take no more children: conflicts with every transaction that is giving it one."""
        await cls.raw().delete_many({"_id": {"$in": _names(parent_id)}}, session=session)

    @classmethod
    async def count_up(cls, parent_id: ObjectId, by: ObjectId, *, session: Session) -> bool:
        """Give a parent a child; False where it takes none.

        Args:
            parent_id: the parent.
            by: the child's id, which chooses the stripe.
            session: of the transaction that inserts the child.
        """
        name = _names(parent_id)[by.binary[-1] % STRIPES]
        result = await cls.raw().update_one({"_id": name}, {"$inc": {"guard": 1}}, session=session)
        return result.matched_count == 1


def _names(parent_id: ObjectId) -> list[str]:
    return [f"{parent_id}:{number}" for number in range(STRIPES)]
