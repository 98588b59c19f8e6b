"""How those are woken who wait for long, by the thousand: small things, of which each keeps
several."""

import asyncio
from typing import Final

ABORT: Final = "satchel.abort"
"""The key in a request's scope of what cuts its connection off. Where it is there, the connection
also tells its stream when the client has left."""


class Wake:
    """An `asyncio.Event` for one who waits, a fifth of its size."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        """Whether it was set since it was cleared last."""
        return self._is_set

    def set(self) -> None:
        """Wake whoever waits, or is going to."""
        self._is_set = True
        self.nudge()

    def nudge(self) -> None:
        """Wake whoever waits now, for another reason."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Begin to wait anew."""
        self._is_set = False

    def wait(self) -> "asyncio.Future[None]":
        """What is done when it is set, or nudged. No coroutine, which would keep a frame."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self._is_set:
            self._waiter.set_result(None)
        return self._waiter
