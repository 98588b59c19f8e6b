"""Transactions of bank accounts, as the provider tells them (seed 000)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import UpdateOne

from models.base import Fields, Raw, Session, now
from models.owned import OwnedByUser

TransactionStatus = Literal["pending", "posted"]


class TransactionContent(Fields):
    """What the provider tells of a transaction."""

    provider_id: str
    amount: Annotated[int, Field(description="Minor units of the account's currency, signed as the provider signs.")]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="ISO 8601.")]
    description: str
    status: TransactionStatus


class Transaction(TransactionContent, OwnedByUser):
    """One transaction; `seen_in` is the pass of a sync that has last read it."""

    user_id: PydanticObjectId
    bank_account_id: PydanticObjectId
    seen_in: str

    class Settings:
        name = "transactions"

    @classmethod
    async def list_of(
        cls,
        account_id: ObjectId,
        limit: int,
        *,
        start: str | None = None,
        end: str | None = None,
        status: TransactionStatus | None = None,
        after: tuple[str, ObjectId] | None = None,
    ) -> list["Transaction"]:
        """An account's transactions, newest first.

        Args:
            account_id: whose.
            limit: how many at most.
            start: date, inclusive.
            end: date, exclusive.
            status: only those.
            after: sort key (`date`, id) of the last one already seen.
        """
        where: Raw = {"bankAccountId": account_id, **({"status": status} if status else {})}
        span = {name: day for name, day in (("$gte", start), ("$lt", end)) if day is not None}
        if after is not None:
            span["$lte"] = after[0]
            where["$or"] = [{"date": {"$lt": after[0]}}, {"date": after[0], "_id": {"$lt": after[1]}}]
        if span:
            where["date"] = span
        cursor = cls.raw().find(where).sort([("date", -1), ("_id", -1)]).limit(limit)
        return [cls.from_stored(row) async for row in cursor]

    @classmethod
    async def oldest_pending(cls, account_id: ObjectId) -> str | None:
        """The date of an account's oldest pending transaction."""
        where = {"bankAccountId": account_id, "status": "pending"}
        rows = await cls.raw().find(where, {"date": 1}).sort([("date", 1), ("_id", 1)]).limit(1).to_list()
        return str(rows[0]["date"]) if rows else None

    @classmethod
    async def store(
        cls,
        user_id: PydanticObjectId,
        account_id: PydanticObjectId,
        told: Sequence[TransactionContent],
        seen_in: str,
        session: Session,
    ) -> int:
        """Store what a page tells, each transaction once by its provider id, in the transaction of the page.

        Returns:
            How many are new or changed.
        """
        latest = {content.provider_id: content for content in told}
        where = {"bankAccountId": account_id, "providerId": {"$in": list(latest)}}
        known = {row["providerId"]: row async for row in cls.raw().find(where, session=session)}
        fresh = [
            cls(user_id=user_id, bank_account_id=account_id, seen_in=seen_in, **content.model_dump()).stored()
            for provider_id, content in latest.items()
            if provider_id not in known
        ]
        changes = {row["_id"]: _changes(row, latest[provider_id]) for provider_id, row in known.items()}
        if fresh:
            await cls.raw().insert_many([{"_id": ObjectId(), **row} for row in fresh], session=session)
        if changed := [
            UpdateOne({"_id": key}, {"$set": {**fields, "seenIn": seen_in, "updatedAt": now()}, "$inc": {"version": 1}})
            for key, fields in changes.items()
            if fields
        ]:
            await cls.raw().bulk_write(changed, ordered=False, session=session)
        if same := [key for key, fields in changes.items() if not fields]:
            await cls.raw().update_many({"_id": {"$in": same}}, {"$set": {"seenIn": seen_in}}, session=session)
        return len(fresh) + len(changed)

    @classmethod
    async def keep(cls, account_id: ObjectId, provider_ids: Sequence[str], seen_in: str, session: Session) -> None:
        """Leave transactions as they are that a pass has met and cannot read."""
        where = {"bankAccountId": account_id, "providerId": {"$in": list(provider_ids)}}
        await cls.raw().update_many(where, {"$set": {"seenIn": seen_in}}, session=session)

    @classmethod
    async def met(cls, account_id: ObjectId, provider_ids: Sequence[str], seen_in: str) -> set[str]:
        """Which of these transactions of an account a pass has met."""
        where = {"bankAccountId": account_id, "providerId": {"$in": list(provider_ids)}}
        rows = cls.raw().find(where, {"providerId": 1, "seenIn": 1})
        return {row["providerId"] async for row in rows if row["seenIn"] == seen_in}

    @classmethod
    async def find_unseen(
        cls, account_id: ObjectId, since: str | None, seen_in: str, limit: int
    ) -> list["Transaction"]:
        """Transactions of an account that a pass over everything since a date has not met, newest first."""
        where: Raw = {"bankAccountId": account_id, "seenIn": {"$ne": seen_in}}
        if since is not None:
            where["date"] = {"$gte": since}
        cursor = cls.raw().find(where).sort([("date", -1), ("_id", -1)]).limit(limit)
        return [cls.from_stored(row) async for row in cursor]


def _changes(row: Raw, content: TransactionContent) -> Raw:
    fields = content.model_dump(by_alias=True)
    return {name: value for name, value in fields.items() if row.get(name) != value}
