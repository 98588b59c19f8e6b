"""Which steps of `python -m scripts migrate` this database has taken."""

from pydantic import Field

from models.base import Stored, Timestamp, now


class Migration(Stored):
    """A step that was taken; `_id` is its name. Steps are taken once, in order, and never back."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    applied_at: Timestamp
    changed: int = 0

    class Settings:
        name = "migrations"

    @classmethod
    async def find_applied(cls) -> list[str]:
        """The names of the steps that were taken, in the order of their names: a row says so,
        whatever else it holds."""
        rows = cls.raw().find({"_id": {"$gt": ""}}, {"_id": 1}).sort("_id", 1)
        return [row["_id"] async for row in rows]

    @classmethod
    async def note(cls, name: str, changed: int) -> None:
        """Note that a step was taken."""
        await cls.raw().replace_one(
            {"_id": name}, cls(id=name, applied_at=now(), changed=changed).stored(), upsert=True
        )
