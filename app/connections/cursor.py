"""How far a sync of a bank connection has come: the cursor, written with the rows that it
covers."""

from dataclasses import asdict, dataclass, field, replace
from typing import Final

import orjson

from app.outside.client import TryLater

_MOST_RESTARTS: Final = 3


class PagingFailed(TryLater):
    """The cursor leads nowhere any more: drop it, and begin a fresh pass."""

    def __init__(self) -> None:
        super().__init__("paging_failed")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a pass has come.

    Attributes:
        pass_id: stamped on every transaction that the pass meets.
        full: whether it reads everything.
        todo: ids of the bank accounts that are still to be read, the one in hand first.
        begun: when the one in hand was begun, and its `since` decided (RFC 3339).
        since: date from which it is read; None for everything.
        after: the provider's id of the last transaction of its last page.
        pages: of the one in hand.
        restarts: how often it was begun anew because `after` had gone.
        oldest: the oldest date that was told of it.
    """

    pass_id: str
    full: bool
    todo: list[str] = field(default_factory=list)
    begun: str | None = None
    since: str | None = None
    after: str | None = None
    pages: int = 0
    restarts: int = 0
    oldest: str | None = None

    def dump(self) -> str:
        """As it is stored."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def load(cls, text: str | None) -> "Cursor | None":
        """What `dump` made; None where there is none, or one that cannot be read."""
        try:
            return None if text is None else cls(**orjson.loads(text))
        except (TypeError, ValueError):
            return None

    def next_account(self) -> "Cursor":
        """The cursor with the account in hand done."""
        return Cursor(self.pass_id, self.full, self.todo[1:])

    def again(self) -> "Cursor":
        """The cursor at the newest of the account in hand.

        Raises:
            PagingFailed: it was there too often.
        """
        if self.restarts >= _MOST_RESTARTS:
            raise PagingFailed
        return replace(self, after=None, pages=0, restarts=self.restarts + 1)
