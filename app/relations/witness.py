"""Witnesses: what a domain has to note about documents of its own that a deletion takes or frees,
wherever it began."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from models.base import Raw, Stored

Witness = Callable[[Sequence[Raw], AsyncClientSession], Awaitable[None]]

WITNESSES: Final[dict[type[Stored], Witness]] = {}
"""Collection -> who is called with its documents before they go."""
NULL_WITNESSES: Final[dict[type[Stored], Witness]] = {}
"""Collection -> who is called with its documents before a reference is taken from them."""


def witness(document: type[Stored]) -> Callable[[Witness], Witness]:
    """Have a function called with the documents of a collection that are about to go, in the same
    transaction.

    It sees batches of whole stored documents (at most 1,000), may be run several times like any
    transaction's work,
    and has no effect but its writes: an outside link is removed by a job that it inserts. To be
        used in a domain's
    `deletion.py`, which `app.work` imports, so that server and worker both have it.
    """
    return _register(WITNESSES, document)


def witness_nulled(document: type[Stored]) -> Callable[[Witness], Witness]:
    """The same for documents that stay and lose a reference (SET_NULL, PULL); it sees them as they
    were before."""
    return _register(NULL_WITNESSES, document)


def _register(
    table: dict[type[Stored], Witness], document: type[Stored]
) -> Callable[[Witness], Witness]:
    def register(function: Witness) -> Witness:
        if document in table:
            raise RuntimeError(f"{document.__name__} has a witness already")
        table[document] = function
        return function

    return register
