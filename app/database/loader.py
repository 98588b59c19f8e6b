"""A loader gathers lookups: those that wait in the same turn of the loop go out as one query.

A query costs the driver and the database far more than a row of it, so a server that has much to do
asks once for many. Nobody waits for others: who comes while a query may be sent is asked for at
once, alone or with those who came in the same turn; only where two are under way already do the
others wait, and those all go out together when one is back.

What is read is as fresh as by a query of one's own: it is sent after whoever asked had come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import pymongo
from pymongo.errors import ConnectionFailure, PyMongoError

from app.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_SHORTEST: Final = 0.001  # to PyMongo 0 is for ever


@dataclass(slots=True)
class _Asked(Generic[V]):
    """Those who ask for one key, and when the time of the first of them ends."""

    ends: float
    answers: list["asyncio.Future[V | None]"] = field(default_factory=list)

    def answer(self, value: V | None) -> None:
        """Tell those who still wait."""
        for answer in self.answers:
            if not answer.done():
                answer.set_result(value)


class Loader(Generic[K, V]):
    """Gathers lookups by exact keys.

    Args:
        find: finds what there is of some keys, each once; what is not there is not in its answer.
        seconds: how long the wait and the query together may take.
        most: keys of a query at most.
        queries: how many may be under way at once.
        weigh: what a key weighs, at least 1, and what the keys of a query may weigh together; one
            that weighs more goes alone. None where the count is all that matters.
    """

    def __init__(
        self,
        find: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        seconds: float,
        *,
        most: int = 32,
        queries: int = 2,
        weigh: tuple[Callable[[K], int], int] | None = None,
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._most = most
        self._free = queries
        self._weigh, self._room = weigh or (lambda _: 0, 0)
        self._waiting: dict[K, _Asked[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """What there is under a key, None where nothing is.

        Raises:
            pymongo.errors.PyMongoError: the query failed, and so did one for this key alone where
                that may be its fault alone.
            Unavailable: it could not be sent in time.
        """
        loop = asyncio.get_running_loop()
        asked = self._waiting.get(key)
        if asked is None:
            asked = self._waiting[key] = _Asked(loop.time() + self._seconds)
        answer: asyncio.Future[V | None] = loop.create_future()
        asked.answers.append(answer)
        if self._free:
            self._free -= 1
            # Without the context of who came first: no timeout, transaction or trace of theirs.
            loop.call_soon(self._begin, context=Context())
        return await answer

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._serve())
        self._tasks.add(task)  # the loop alone does not keep it
        task.add_done_callback(self._tasks.discard)

    async def _serve(self) -> None:
        """Send one query after another while somebody waits."""
        try:
            while self._waiting:
                if batch := self._take():
                    await self._answer(batch)
        finally:
            self._free += 1

    def _take(self) -> dict[K, _Asked[V]]:
        """The first who wait, without those who have gone or whose time is over."""
        moment = asyncio.get_running_loop().time()
        batch: dict[K, _Asked[V]] = {}
        room = self._room
        while self._waiting and len(batch) < self._most:
            key = next(iter(self._waiting))
            room -= self._weigh(key)
            if batch and room < 0:
                break
            asked = self._waiting.pop(key)
            if asked.ends <= moment:
                _fail(asked, Unavailable("the database did not answer in time"))
            elif not all(answer.done() for answer in asked.answers):
                batch[key] = asked
        return batch

    async def _answer(self, batch: Mapping[K, _Asked[V]]) -> None:
        """Find what a batch asks for; where it fails by one of them, the others get theirs."""
        try:
            left = min(asked.ends for asked in batch.values()) - asyncio.get_running_loop().time()
            with pymongo.timeout(max(left, _SHORTEST)):
                found = await self._find(list(batch))
        except Exception as error:
            for key, asked in batch.items():
                if len(batch) == 1 or _is_everybodys(error):
                    _fail(asked, error)
                else:
                    await self._answer({key: asked})
        except BaseException:
            for asked in batch.values():
                for answer in asked.answers:
                    answer.cancel()
            raise
        else:
            for key, asked in batch.items():
                asked.answer(found.get(key))


def _is_everybodys(error: Exception) -> bool:
    """Whether an error is of the database and not of what one has asked for."""
    return isinstance(error, ConnectionFailure) or (
        isinstance(error, PyMongoError) and error.timeout
    )


def _fail(asked: _Asked[V], error: Exception) -> None:
    for answer in asked.answers:
        if not answer.done():
            answer.set_exception(error)
