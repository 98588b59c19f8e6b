"""Links to outside systems that are still to be removed there, after what they belonged to went
here."""

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models import aside
from models.base import Raw, Session, Stored, Timestamp, now
from models.claims import claim_first
from models.sealed import HoldsSecrets, Place, Sealed

LinkKind = Literal["bank", "repository"]
LEASE: Final = timedelta(seconds=60)
OWNING: Final = frozenset({"users", "projects", "connections", "repositoryconnections"})
"""Collections whose documents links come from or belong to."""


class OutsideLink(HoldsSecrets, Stored):
    """One link to remove: a provider's access to a bank, a webhook of a repository.

    It has taken over the sealed token of the document that it came from, and is deleted with it
    once the link is gone. `details` is what removing it takes besides, nothing secret.
    `next_attempt_at` is both when to try and how long a worker's claim holds; what a worker writes
    names it, so that one whose claim ran out writes no more.
    """

    SEALED: ClassVar[tuple[str, ...]] = ("access_token",)

    kind: LinkKind
    origin_id: Annotated[PydanticObjectId, Field(description="The document that it came from.")]
    owner_id: Annotated[
        PydanticObjectId, Field(description="The user or project whose document that was.")
    ]
    root_id: Annotated[
        PydanticObjectId | None,
        Field(description="The root of the deletion that took its origin or owner along."),
    ] = None
    access_token: Sealed
    details: dict[str, Any] = Field(default_factory=dict)
    attempts: int = 0
    next_attempt_at: Timestamp = Field(default_factory=now)
    last_error: str | None = None

    class Settings:
        name = "outsidelinks"

    @classmethod
    def of(cls, kind: LinkKind, row: Raw, owner: str, details: Raw) -> "OutsideLink":
        """The link that a stored document with an `accessToken` stands for."""
        return cls(
            kind=kind,
            origin_id=row["_id"],
            owner_id=row[owner],
            access_token=Sealed(row["accessToken"]),
            details=details,
        )

    @classmethod
    def place_in(cls, row: Raw, field: str) -> Place:  # type: ignore[override]
        """A token that was taken over belongs where it came from."""
        collection = "connections" if row["kind"] == "bank" else "repositoryconnections"
        return Place(collection, "accessToken", row["originId"], row["ownerId"])

    @classmethod
    async def claim(cls, kind: LinkKind, *, fresh: bool = False) -> "OutsideLink | None":
        """Take the link of a kind that is longest due, for `LEASE`; None where none is due.

        One that cannot be read is put off.

        Args:
            kind: of link.
            fresh: leave out those whose removal has failed before.
        """
        while (
            row := await cls._claim_row(kind, {"attempts": {"$not": {"$gt": 0}}} if fresh else {})
        ) is not None:
            if found := await aside.documents(cls, [row], aside.later("nextAttemptAt")):
                return found[0]
        return None

    @classmethod
    async def _claim_row(cls, kind: LinkKind, which: Raw) -> Raw | None:
        moment = now()
        due: Raw = {"kind": kind, "nextAttemptAt": {"$lte": moment}, **which}
        return await claim_first(
            cls, due, "nextAttemptAt", {"$set": {"nextAttemptAt": moment + LEASE}}
        )

    async def put_off(self, at: datetime, reason: str) -> bool:
        """Give a link back that could not be removed, to be tried again then; False where the claim
        was lost."""
        update = {
            "$set": {"nextAttemptAt": at, "lastError": reason, "updatedAt": now()},
            "$inc": {"attempts": 1},
        }
        return (await self.raw().update_one(self._held(), update)).matched_count == 1

    async def remove(self) -> bool:
        """Take a link away that is gone outside, or given up; False where the claim was lost."""
        return (await self.raw().delete_one(self._held())).deleted_count == 1

    def _held(self) -> Raw:
        return {"_id": self.id, "nextAttemptAt": self.next_attempt_at}

    @classmethod
    async def add_all(cls, links: list["OutsideLink"], session: Session) -> None:
        """Store links, in the transaction that removes what they belonged to."""
        if links:
            await cls.raw().insert_many(
                [{"_id": ObjectId(), **link.stored()} for link in links], session=session
            )

    @classmethod
    async def credit(cls, root_id: ObjectId, gone: list[ObjectId], session: Session) -> None:
        """Count the links of documents that go with a deletion's root as the root's, in the
        transaction they go in."""
        for field in ("ownerId", "originId"):
            await cls.raw().update_many(
                {field: {"$in": gone}}, {"$set": {"rootId": root_id}}, session=session
            )

    @classmethod
    async def count_of(cls, root_id: ObjectId) -> int:
        """How many links are still to be removed of what was deleted: owner, connection, or the
        root of them."""
        names = ("ownerId", "originId", "rootId")
        return await cls.raw().count_documents({"$or": [{name: root_id} for name in names]})
