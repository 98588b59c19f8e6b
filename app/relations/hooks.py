"""Deletion hooks: what a domain has to note about documents of its own that a deletion takes or
frees, wherever it began, and how a merge moves them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from models.base import Raw, Stored
from models.deletion import Side

Hook = Callable[[Sequence[Raw], AsyncClientSession], Awaitable[None]]
"""Called with batches of whole stored documents (at most 1,000), in the transaction that takes
them. It may be run several times, like any transaction's work, and has no effect but its writes: an
outside link is removed by a job that it inserts."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Who is merged into whom, and whose is kept where both have something, by kind."""

    source: ObjectId
    target: ObjectId
    keep: Mapping[str, Side] = field(default_factory=dict)


class Carried(NamedTuple):
    """How many documents became the target's, and how many went since the target has the same."""

    moved: int = 0
    deleted: int = 0


Mover = Callable[[Sequence[Raw], Merge, AsyncClientSession], Awaitable[Carried]]
"""Makes children of the source the target's, in a transaction in which the target was found and
written. Called with their ids; those that are another's by now are left alone."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a domain, in its `deletion.py`, or of all of them (`app.work.HOOKS`).

    Attributes:
        going: collection -> called with its documents before they go.
        released: collection -> called with its documents, as they were, before a reference is taken
            from them (SET_NULL, PULL).
        moving: collection -> called instead of setting the reference, when a user is merged.
    """

    going: Mapping[type[Stored], Hook] = field(default_factory=dict)
    released: Mapping[type[Stored], Hook] = field(default_factory=dict)
    moving: Mapping[type[Stored], Mover] = field(default_factory=dict)

    @classmethod
    def together(cls, several: Iterable["Hooks"]) -> Self:
        """Those of several domains as one.

        Raises:
            RuntimeError: two are of the same collection.
        """
        hooks = list(several)
        return cls(
            _joined(each.going for each in hooks),
            _joined(each.released for each in hooks),
            _joined(each.moving for each in hooks),
        )


def _joined(tables: Iterable[Mapping[type[Stored], Any]]) -> dict[type[Stored], Any]:
    joined: dict[type[Stored], Any] = {}
    for table in tables:
        if twice := joined.keys() & table.keys():
            raise RuntimeError(f"{twice.pop().__name__} has a deletion hook already")
        joined |= table
    return joined


NO_HOOKS = Hooks()
"""For collections of which nothing is noted."""
