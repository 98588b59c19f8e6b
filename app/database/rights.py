"""Rights that can be taken away: held by a request, and looked at again in the transaction of its
write.

A check before a transaction tells what was. So each right is held as a function that looks again
within the transaction, and counts up the `guard` of the document that the right hangs on: of the
write, and of whatever takes the right away, one is then run again and sees the other.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

Right = Callable[[AsyncClientSession], Awaitable[None]]
"""Looks at a right within a transaction, and raises the problem that tells of its loss."""

_held: ContextVar[dict[Hashable, Right] | None] = ContextVar("rights", default=None)
_NONE: Final[Mapping[Hashable, Right]] = {}


@contextmanager
def collecting() -> Iterator[None]:
    """Let rights be held for one request, and forget them after it."""
    rights: dict[Hashable, Right] = {}
    token = _held.set(rights)
    try:
        yield
    finally:
        rights.clear()  # a task that the request has started may look at them for longer
        _held.reset(token)


def hold(subject: Hashable, right: Right) -> None:
    """Have a right looked at in the transaction that this request writes by; without a request,
    nothing.

    Args:
        subject: what it is a right to; one that is held already takes its place.
        right: looks.
    """
    held = _held.get()
    if held is not None:
        held[subject] = right


def held() -> tuple[Hashable, ...]:
    """What rights are held, and were not confirmed by a commit yet."""
    return tuple(_held.get() or _NONE)


async def confirm(session: AsyncClientSession) -> None:
    """Look at the rights that are held, in the order in which they were.

    Raises:
        Problem: of a right that was taken away.
    """
    for right in list((_held.get() or _NONE).values()):
        await right(session)


def settle() -> None:
    """Look no more: the write is committed, and what follows from it is to be done whatever comes
    then."""
    rights = _held.get()
    if rights is not None:
        rights.clear()
