"""Lookups that the requests of a process share."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

_MANY: Final = 100


class SharedLookups:
    """Lookups by keys, one query at a time: what is asked for while one is under way goes together
    into the next.

    A query is sent after everybody has asked whose keys are in it, so that no answer is older than
    its question.

    Args:
        find: those of some keys that there are.
    """

    def __init__(self, find: Callable[[Collection[str]], Awaitable[set[str]]]) -> None:
        self._find = find
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[str] = set()
        self._answer: asyncio.Future[set[str]] | None = None

    async def find(self, keys: Collection[str]) -> set[str]:
        """Those of these keys that there are; many have a query of their own."""
        if len(keys) > _MANY:
            return await self._find(keys)
        if self._answer is None:
            self._asked = set()
            self._answer = asyncio.ensure_future(self._ask(self._asked))
        self._asked |= set(keys)
        return set(keys) & await asyncio.shield(self._answer)

    async def _ask(self, asked: set[str]) -> set[str]:
        async with self._one_at_a_time:
            self._answer = None
            return await self._find(asked)
