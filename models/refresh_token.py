"""Refresh tokens: one document to a session, which holds the keyed hash of its current token."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.app import AppId
from models.aside import read_all
from models.auth_identity import GUEST
from models.base import Session, Stored, Timestamp, now

DeviceInfo = Annotated[str, Field(min_length=1, max_length=255)]


class RefreshToken(Stored):
    """A session on one device. Its `_id` is the family: every token of the session descends from
    the first one.

    Attributes:
        token_hash: keyed hash of the current token.
        generation: number of the current token, 1 for the first.
        rotated_at: when the current token took the place of the one before.
        ends_at: when the session is over however much it is used.
        expires_at: when it is over unless it is used: the earlier of `ends_at` and the idle limit.
    """

    user_id: PydanticObjectId
    token_hash: Annotated[str, Field(repr=False)]
    generation: int = 1
    rotated_at: Timestamp = Field(default_factory=now)
    device_info: DeviceInfo | None = None
    auth_method: str
    app_id: AppId | None = None
    last_used_at: Timestamp = Field(default_factory=now)
    ends_at: Timestamp
    expires_at: Timestamp
    guard: int = 0

    class Settings:
        name = "refreshtokens"

    @classmethod
    async def rotate(
        cls,
        family: ObjectId,
        generation: int,
        token_hash: str,
        successor_hash: str,
        idle: timedelta,
    ) -> Self | None:
        """Put the successor in the place of the current token, in one atomic operation.

        Args:
            family: the session.
            generation: of the token that must be the current one.
            token_hash: of that token.
            successor_hash: of the one that takes its place.
            idle: how long the session lives without being used.

        Returns:
            The session as it is now, or None where the token is not the current one of a living
            session.
        """
        moment = now()
        change: dict[str, Any] = {
            "tokenHash": successor_hash,
            "generation": generation + 1,
            "rotatedAt": moment,
            "lastUsedAt": moment,
            "updatedAt": moment,
            "version": {"$add": ["$version", 1]},
            "expiresAt": {
                "$cond": [  # a guest has no other way back, and lives while they come
                    {"$eq": ["$authMethod", GUEST]},
                    moment + idle,
                    {"$min": ["$endsAt", moment + idle]},
                ]
            },
        }
        row = await cls.raw().find_one_and_update(
            {"_id": family, "tokenHash": token_hash, "expiresAt": {"$gt": moment}},
            [{"$set": change}],
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def leave_guest(cls, user_id: ObjectId, method: str, *, session: Session = None) -> None:
        """Have the sessions of somebody who was a guest go on as a person's, begun now."""
        moment = now()
        longest = {"$add": [moment, {"$subtract": ["$endsAt", "$createdAt"]}]}
        fields = {"authMethod": method, "endsAt": longest, "updatedAt": moment}
        await cls.raw().update_many(
            {"userId": user_id, "authMethod": GUEST}, [{"$set": fields}], session=session
        )

    @classmethod
    async def find_living(cls, family: ObjectId, *, user_id: ObjectId | None = None) -> Self | None:
        """The session, None where it has ended or is another user's."""
        where: dict[str, Any] = {"_id": family, "expiresAt": {"$gt": now()}}
        row = await cls.raw().find_one(where if user_id is None else {**where, "userId": user_id})
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def living_among(cls, families: Collection[ObjectId]) -> set[ObjectId]:
        """Those of these sessions that have not ended, by one query."""
        where: dict[str, Any] = {"_id": {"$in": list(families)}, "expiresAt": {"$gt": now()}}
        return {row["_id"] async for row in cls.raw().find(where, {"_id": 1})}

    @classmethod
    async def of_user(cls, user_id: ObjectId, *, session: Session = None) -> list[Self]:
        """A user's living sessions, the oldest first."""
        where = {"userId": user_id, "expiresAt": {"$gt": now()}}
        rows = await cls.raw().find(where, session=session).sort("_id", 1).to_list()
        return read_all(cls, rows)

    @classmethod
    async def end(cls, family: ObjectId, user_id: ObjectId, *, session: Session = None) -> bool:
        """End one session of a user; False where it had ended, or is another's."""
        result = await cls.raw().delete_one({"_id": family, "userId": user_id}, session=session)
        return result.deleted_count == 1

    @classmethod
    async def end_others(
        cls, user_id: ObjectId, kept: ObjectId | None, *, session: Session = None
    ) -> int:
        """End every session of a user but one; how many those were."""
        where: dict[str, Any] = (
            {"userId": user_id} if kept is None else {"userId": user_id, "_id": {"$ne": kept}}
        )
        return (await cls.raw().delete_many(where, session=session)).deleted_count

    @classmethod
    async def touch(cls, user_ids: Collection[ObjectId], *, session: Session = None) -> None:
        """Conflict with every write that is under way by a session of these users: it is looked at
        anew."""
        where = {"userId": {"$in": list(user_ids)}}
        await cls.raw().update_many(where, {"$inc": {"guard": 1}}, session=session)

    @classmethod
    async def remove_expired(cls, moment: datetime) -> int:
        """Remove what TTL would (required: `cleanupExpiredTokens`)."""
        return (await cls.raw().delete_many({"expiresAt": {"$lte": moment}})).deleted_count
