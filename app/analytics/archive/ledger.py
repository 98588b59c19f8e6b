"""The ledger of erasures as archives use it: which archived events are of people who were
erased."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from bson import ObjectId

from models.base import Raw
from models.erasure import Erasure, digest_of
from models.person import person_key


class Ledger:
    """Who was erased: users by id, anonymous and external ids by digest."""

    def __init__(self, users: set[ObjectId], digests: set[str]) -> None:
        self.users = users
        self.digests = digests

    @classmethod
    async def since(cls, moment: datetime | None) -> "Ledger":
        """The erasures since a moment; all of them for None."""
        where: Raw = {"at": {"$gte": moment or datetime(1970, 1, 1, tzinfo=UTC)}}
        rows = await Erasure.raw().find(where, {"digests": 1}).to_list()
        return cls(
            {row["_id"] for row in rows}, {each for row in rows for each in row.get("digests", [])}
        )

    @property
    def empty(self) -> bool:
        """Whether nobody was."""
        return not self.users

    def left_of(self, rows: Iterable[Raw]) -> Iterator[Raw]:
        """The events of those who were not erased."""
        for row in rows:
            key = person_key(row)
            named = row.get("userId") in self.users
            if not named and (key is None or digest_of(key) not in self.digests):
                yield row
