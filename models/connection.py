"""Connections: a person's login at a bank, by the token that the provider gave for it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument, UpdateOne

from models.base import Fields, Raw, Session, Timestamp, now
from models.owned import OwnedByUser
from models.sealed import HoldsSecrets, Sealed

Provider = Literal["teller", "sandbox"]
Status = Literal["connected", "needs_reauth", "disconnected"]
Label = Annotated[str, Field(min_length=1, max_length=255)]
MOST_NAMED: Final = 500


class RunningSync(Fields):
    """A sync that holds the connection's lease. `pages` and `rows` are what it has stored so
    far."""

    started_at: Timestamp
    until: Annotated[Timestamp, Field(description="When the lease ends, unless it is renewed.")]
    pages: int = 0
    rows: int = 0


class SetAside(Fields):
    """What could not be read of an account: a transaction by the provider's id, or `balance`."""

    account_id: Annotated[str, Field(description="The provider's.")]
    provider_id: str
    reason: str
    seen_in: Annotated[str, Field(description="The pass of a sync that has last met it.")]


def set_aside_anew(
    aside: Iterable[SetAside],
    account_id: str,
    fresh: Mapping[str, str],
    met: Collection[str],
    pass_id: str,
) -> list[SetAside]:
    """What is set aside once a pass has met more of an account.

    Args:
        aside: what was so before.
        account_id: the provider's.
        fresh: what cannot be read now, by the provider's id, with the reason.
        met: what was met now, readable or not.
        pass_id: of the sync.
    """
    told = {*met, *fresh}
    kept = [each for each in aside if each.account_id != account_id or each.provider_id not in told]
    added = [
        SetAside(account_id=account_id, provider_id=name, reason=reason, seen_in=pass_id)
        for name, reason in fresh.items()
    ]
    return [*kept, *added]


class Named(Fields):
    """A transaction that the provider told of by its id, and of the account (the provider's
    too)."""

    account_id: str
    provider_id: str


class Undecided(Fields):
    """An account of which nobody has said whether it is one of before, or a new one; it is not
    synced meanwhile."""

    provider_id: str
    name: str
    type: str
    currency: Annotated[str, Field(description="ISO 4217.")]
    last_four: str | None = None
    institution: Annotated[str | None, Field(description="The provider's id of the bank.")] = None
    candidates: Annotated[
        list[PydanticObjectId], Field(description="Ids of bank accounts that it may be.")
    ]


class Connection(HoldsSecrets, OwnedByUser):
    """One login at one institution; a user may have several at the same.

    `cursor` says how far a sync has come and is written with the rows that it covers; `sync_fence`
    grows with each sync, and what it writes names the fence that it was given. `authenticated_at`
    is when the token was last seen to work after it was given. `failures` counts what went wrong in
    a row, for the backoff. `hinted` says that the provider told of news that no pass has begun to
    read since. `set_aside` is what could not be read, 1,000 at most. `named` are transactions that
    the provider told of and no sync has asked for since, 500 at most. `undecided` are accounts that
    may be ones of before, after a new login; the person says.
    """

    GUARDED: ClassVar[bool] = True
    SEALED: ClassVar[tuple[str, ...]] = ("access_token",)

    user_id: PydanticObjectId
    provider: Provider
    institution: Label
    label: Label
    access_token: Sealed | None = None
    status: Status = "connected"
    status_reason: str | None = None
    cursor: str | None = None
    last_sync_at: Timestamp | None = None
    next_attempt_at: Timestamp | None = None
    enrollment_id: str | None = None
    authenticated_at: Timestamp = Field(default_factory=now)
    full_sync_at: Timestamp | None = None
    failures: int = 0
    hinted: bool | None = None
    set_aside: list[SetAside] = Field(default_factory=list)
    named: list[Named] = Field(default_factory=list)
    undecided: list[Undecided] = Field(default_factory=list)
    sync_fence: int = 0
    running: RunningSync | None = None
    guard: int = 0

    class Settings:
        name = "connections"

    @property
    def unreadable(self) -> int:
        """How much could not be read."""
        return len(self.set_aside)

    @property
    def unreadable_reasons(self) -> dict[str, int]:
        """The same by reason."""
        return dict(Counter(each.reason for each in self.set_aside))

    @classmethod
    async def find_due(
        cls, moment: datetime, limit: int, but_of: Collection[Any] = (), *, healthy: bool = False
    ) -> list[ObjectId]:
        """Ids of connections that are to be synced and are not being synced, longest due first.

        Args:
            moment: now.
            limit: how many at most.
            but_of: users whose connections are left out.
            healthy: leave out those whose last sync failed.
        """
        where: Raw = {"nextAttemptAt": {"$lte": moment}, "running.until": {"$not": {"$gt": moment}}}
        where |= {"userId": {"$nin": list(but_of)}} if but_of else {}
        where |= {"failures": {"$not": {"$gt": 0}}} if healthy else {}
        cursor = cls.raw().find(where, {"_id": 1}).sort("nextAttemptAt", 1).limit(limit)
        return [row["_id"] async for row in cursor]

    @classmethod
    async def begin_sync(
        cls, connection_id: ObjectId, until: datetime, *, session: Session = None
    ) -> "Connection | None":
        """Take the lease of a sync; None where another holds it, or there is no token to sync
        with."""
        moment = now()
        where = {
            "_id": connection_id,
            "accessToken": {"$exists": True},
            "running.until": {"$not": {"$gt": moment}},
        }
        running = RunningSync(started_at=moment, until=until).model_dump(by_alias=True)
        row = await cls.raw().find_one_and_update(
            where,
            {"$set": {"running": running}, "$inc": {"syncFence": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def hint(cls, names: Mapping[ObjectId, Sequence[Named]]) -> None:
        """Note transactions that the provider told of, by connection, and make due what has a login
        that works.

        Where they are more than are kept, the next pass reads everything.
        """
        updates = [
            UpdateOne({"_id": key}, [{"$set": _hinted(told)}]) for key, told in names.items()
        ]
        if updates:
            await cls.raw().bulk_write(updates, ordered=False)

    async def renew(self, until: datetime) -> bool:
        """Renew the lease; False where it was lost."""
        result = await self.raw().update_one(self._held(), {"$set": {"running.until": until}})
        return result.matched_count == 1

    async def note_progress(
        self,
        cursor: str,
        until: datetime,
        rows: int,
        aside: list[SetAside],
        asked: Sequence[Named] = (),
        *,
        session: Session,
    ) -> bool:
        """Move the cursor on and renew the lease, in the transaction that writes the rows it
        covers.

        Args:
            cursor: as it is stored.
            until: end of the lease.
            rows: how many were stored or removed.
            aside: what could not be read, all of it.
            asked: transactions of `named` that are done with.
            session: of that transaction.

        Returns:
            False where the lease was lost, or the token replaced: that transaction must not commit.
        """
        update: Raw = {
            "$set": {
                "cursor": cursor,
                "running.until": until,
                "setAside": [each.model_dump(by_alias=True) for each in aside],
            },
            "$inc": {"running.pages": 1, "running.rows": rows},
        }
        if asked:
            update["$pullAll"] = {"named": [each.model_dump(by_alias=True) for each in asked]}
        result = await self.raw().update_one(self._held(), update, session=session)
        return result.matched_count == 1

    async def take_hint(self) -> bool:
        """Take the provider's hint, before a pass reads what it was about; False where the lease
        was lost."""
        result = await self.raw().update_one(self._held(), {"$unset": {"hinted": ""}})
        return result.matched_count == 1

    async def end_sync(self, fields: Raw, *, unhinted: bool = False) -> "Connection | None":
        """Give the lease back and set stored fields (None removes one).

        Args:
            fields: new values by stored name.
            unhinted: only if the provider has told of nothing new meanwhile.

        Returns:
            The connection; None where the lease was lost, or a hint is there.
        """
        where = self._held() | ({"hinted": {"$exists": False}} if unhinted else {})
        return await Connection.change(where, {**fields, "running": None})

    def _held(self) -> dict[str, Any]:
        return {
            "_id": self.id,
            "syncFence": self.sync_fence,
            "running.startedAt": {"$exists": True},
        }


def _hinted(told: Sequence[Named]) -> Raw:
    """The stage that adds names, each once."""
    rows = [each.model_dump(by_alias=True) for each in told]
    every = {"$setUnion": [{"$ifNull": ["$named", []]}, {"$literal": rows}]}
    due = {
        "$cond": [
            {"$eq": ["$status", "connected"]},
            {"$min": ["$nextAttemptAt", now()]},
            "$nextAttemptAt",
        ]
    }
    full = {"$cond": [{"$gt": [{"$size": every}, MOST_NAMED]}, "$$REMOVE", "$fullSyncAt"]}
    named = {"$slice": [every, MOST_NAMED]}
    return {"named": named, "fullSyncAt": full, "hinted": True, "nextAttemptAt": due}
