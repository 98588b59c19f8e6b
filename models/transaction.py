"""Transactions of bank accounts, as the provider tells them."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import UpdateOne

from models.aside import read_all
from models.bank_account import BankAccount
from models.base import Fields, Raw, Session, now
from models.owned import OwnedByUser

TransactionStatus = Literal["pending", "posted"]


class TransactionContent(Fields):
    """What the provider tells of a transaction."""

    provider_id: str
    amount: Annotated[
        int,
        Field(description="Minor units of the account's currency, signed as the provider signs."),
    ]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="ISO 8601.")]
    description: str
    status: TransactionStatus


class Transaction(TransactionContent, OwnedByUser):
    """One transaction; `seen_in` is the pass of a sync that has last read it, `link` its account's
    `link` then."""

    user_id: PydanticObjectId
    bank_account_id: PydanticObjectId
    seen_in: str
    link: int | None = None

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
            where["$or"] = [
                {"date": {"$lt": after[0]}},
                {"date": after[0], "_id": {"$lt": after[1]}},
            ]
        if span:
            where["date"] = span
        cursor = cls.raw().find(where).sort([("date", -1), ("_id", -1)]).limit(limit)
        return read_all(cls, await cursor.to_list())

    @classmethod
    async def oldest_pending(cls, account: BankAccount) -> str | None:
        """The date of an account's oldest pending transaction."""
        where = {**_linked(account), "status": "pending"}
        rows = (
            await cls.raw()
            .find(where, {"date": 1})
            .sort([("date", 1), ("_id", 1)])
            .limit(1)
            .to_list()
        )
        return str(rows[0]["date"]) if rows else None

    @classmethod
    async def store(
        cls,
        account: BankAccount,
        told: Sequence[TransactionContent],
        seen_in: str,
        session: Session,
    ) -> int:
        """Store what a page tells, each transaction once by its provider id, in the transaction of
        the page.

        Of an account that was joined to another one of the provider's, an id that is not known
        takes the place of one
        of before: of the same day and amount, and the same description where several are.

        Returns:
            How many are new or changed.
        """
        latest = {content.provider_id: content for content in told}
        where = {"bankAccountId": account.id, "providerId": {"$in": list(latest)}}
        known = {row["providerId"]: row async for row in cls.raw().find(where, session=session)}
        fresh = {name: content for name, content in latest.items() if name not in known}
        if account.link and fresh:
            known |= _paired(fresh.values(), await cls._former(account, fresh.values(), session))
        mark = {"seenIn": seen_in} | ({"link": account.link} if account.link else {})
        rows = [
            _row(account, content, mark) for name, content in fresh.items() if name not in known
        ]
        changes = {row["_id"]: _changes(row, latest[name]) for name, row in known.items()}
        if rows:
            await cls.raw().insert_many(rows, session=session)
        if changed := [
            UpdateOne(
                {"_id": key},
                {"$set": {**fields, **mark, "updatedAt": now()}, "$inc": {"version": 1}},
            )
            for key, fields in changes.items()
            if fields
        ]:
            await cls.raw().bulk_write(changed, ordered=False, session=session)
        if same := [key for key, fields in changes.items() if not fields]:
            await cls.raw().update_many({"_id": {"$in": same}}, {"$set": mark}, session=session)
        return len(rows) + len(changed)

    @classmethod
    async def _former(
        cls, account: BankAccount, told: Iterable[TransactionContent], session: Session
    ) -> list[Raw]:
        """Rows of the same days that were read by an earlier link of the account."""
        days = sorted({content.date for content in told})
        where = {"bankAccountId": account.id, "date": {"$in": days}, "link": {"$ne": account.link}}
        return await cls.raw().find(where, session=session).to_list()

    @classmethod
    async def find_superseded(cls, account: BankAccount, since: str, limit: int) -> list[ObjectId]:
        """Ids of what an earlier link of an account had told, and the present one, which tells all
        since a date, not.

        What is older stays: a new login may reach back less far. What was pending then is not any
            more.
        """
        where: Raw = {
            "bankAccountId": account.id,
            "link": {"$ne": account.link},
            "$or": [{"date": {"$gte": since}}, {"status": "pending"}],
        }
        return [row["_id"] async for row in cls.raw().find(where, {"_id": 1}).limit(limit)]

    @classmethod
    async def keep(
        cls, account_id: ObjectId, provider_ids: Sequence[str], seen_in: str, session: Session
    ) -> None:
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
        cls, account: BankAccount, since: str | None, seen_in: str, limit: int
    ) -> list["Transaction"]:
        """Transactions of an account that a pass over everything since a date has not met, newest
        first."""
        where: Raw = {**_linked(account), "seenIn": {"$ne": seen_in}}
        if since is not None:
            where["date"] = {"$gte": since}
        cursor = cls.raw().find(where).sort([("date", -1), ("_id", -1)]).limit(limit)
        return read_all(cls, await cursor.to_list())


def _changes(row: Raw, content: TransactionContent) -> Raw:
    fields = content.model_dump(by_alias=True)
    return {name: value for name, value in fields.items() if row.get(name) != value}


def _linked(account: BankAccount) -> Raw:
    """The filter of what the present link of an account has told."""
    return {"bankAccountId": account.id} | ({"link": account.link} if account.link else {})


def _row(account: BankAccount, content: TransactionContent, mark: Raw) -> Raw:
    row = Transaction(
        user_id=account.user_id,
        bank_account_id=PydanticObjectId(account.id),
        seen_in=mark["seenIn"],
        link=mark.get("link"),
        **content.model_dump(),
    )
    return {"_id": ObjectId(), **row.stored()}


def _paired(told: Iterable[TransactionContent], former: Sequence[Raw]) -> dict[str, Raw]:
    """Rows of before by the provider ids of those that they are now, one each."""
    left: dict[tuple[str, int], list[Raw]] = {}
    for row in former:
        left.setdefault((row["date"], row["amount"]), []).append(row)
    found: dict[str, Raw] = {}
    for content in told:
        if alike := left.get((content.date, content.amount)):
            same = next(
                (row for row in alike if row["description"] == content.description), alike[0]
            )
            alike.remove(same)
            found[content.provider_id] = same
    return found
