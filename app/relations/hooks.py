"""Deletion hooks: what a domain has to note about documents of its own that a deletion takes or
frees, wherever it began."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pymongo.asynchronous.client_session import AsyncClientSession

from models.base import Raw, Stored

Hook = Callable[[Sequence[Raw], AsyncClientSession], Awaitable[None]]
"""Called with batches of whole stored documents (at most 1,000), in the transaction that takes
them. It may be run several times, like any transaction's work, and has no effect but its writes: an
outside link is removed by a job that it inserts."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a domain, in its `deletion.py`, or of all of them (`app.work.HOOKS`).

    Attributes:
        going: collection -> called with its documents before they go.
        released: collection -> called with its documents, as they were, before a reference is taken
            from them (SET_NULL, PULL).
    """

    going: Mapping[type[Stored], Hook] = field(default_factory=dict)
    released: Mapping[type[Stored], Hook] = field(default_factory=dict)

    @classmethod
    def together(cls, several: Iterable["Hooks"]) -> Self:
        """Those of several domains as one.

        Raises:
            RuntimeError: two are of the same collection.
        """
        hooks = list(several)
        return cls(_joined(each.going for each in hooks), _joined(each.released for each in hooks))


def _joined(tables: Iterable[Mapping[type[Stored], Hook]]) -> dict[type[Stored], Hook]:
    joined: dict[type[Stored], Hook] = {}
    for table in tables:
        if twice := joined.keys() & table.keys():
            raise RuntimeError(f"{twice.pop().__name__} has a deletion hook already")
        joined |= table
    return joined


NO_HOOKS = Hooks()
"""For collections of which nothing is noted."""
