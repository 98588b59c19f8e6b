"""How far the rollups are: they contain exactly the events that came in before `asOf`."""

import secrets
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import Field

from models.base import Raw, Session, Stored, Timestamp

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = "rollups"


class RollupState(Stored):
    """The one state document. `next_number` is the next person's; `guard` makes erasures and the
    worker conflict.

    `digest_key` keys the digests of erased messages (`models/erasure.py`), in hex digits; none was
    erased without it.
    """

    id: Literal["rollups"] = Field(alias="_id", default="rollups")  # type: ignore[assignment]
    as_of: Timestamp = BEGINNING
    next_number: int = 0
    guard: int = 0
    last_recount: dict[str, Any] | None = None
    digest_key: str | None = None

    class Settings:
        name = "rollupstate"

    @classmethod
    async def read(cls, session: Session = None) -> "RollupState":
        """The state as it is, that of the beginning where there is none yet."""
        row = await cls.raw().find_one({"_id": _ID}, session=session)
        return cls() if row is None else cls.from_stored(row)

    @classmethod
    async def move(
        cls, state: "RollupState", as_of: datetime, next_number: int, session: Session
    ) -> bool:
        """Move on from a state that was read in this transaction; False where another worker was
        faster."""
        where: Raw = {"_id": _ID, "asOf": state.as_of, "nextNumber": state.next_number}
        update = {"$set": {"asOf": as_of, "nextNumber": next_number}, "$inc": {"version": 1}}
        result = await cls.raw().update_one(where, update, session=session)
        return result.matched_count == 1

    @classmethod
    async def ensure(cls) -> None:
        """Have the document, so that its updates conflict instead of its inserts."""
        row = cls().stored()
        del row["_id"]
        await cls.raw().update_one({"_id": _ID}, {"$setOnInsert": row}, upsert=True)

    @classmethod
    async def take_number(cls, session: Session) -> int:
        """The next free number, which is taken then."""
        row = await cls.raw().find_one_and_update(
            {"_id": _ID}, {"$inc": {"nextNumber": 1}}, session=session
        )
        return int(row["nextNumber"]) if row else 0

    @classmethod
    async def touch(cls, session: Session) -> None:
        """Conflict with whoever moves the state on at the same time."""
        await cls.raw().update_one({"_id": _ID}, {"$inc": {"guard": 1}}, session=session)

    @classmethod
    async def make_digest_key(cls, session: Session) -> bytes:
        """The key of digests, made where there is none yet."""
        found = (await cls.read(session)).digest_key
        if found is None:
            found = secrets.token_hex(32)
            fresh = cls().stored()
            del fresh["_id"]
            update: Raw = {"$set": {"digestKey": found}, "$setOnInsert": fresh}
            await cls.raw().update_one({"_id": _ID}, update, upsert=True, session=session)
        return bytes.fromhex(found)
