"""The hub: wakes whoever of this process waits for a change of an app's data of a user.

A poke is a hint to look, never the change itself. What is missed is seen at the next look, late and not lost.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson import ObjectId


class Hub:
    """Who listens, by user and app.

    Attributes:
        company: set while anybody listens.
    """

    def __init__(self) -> None:
        self.company = asyncio.Event()
        self._listeners: dict[tuple[ObjectId, str], set[asyncio.Event]] = {}

    @contextmanager
    def listen(self, user_id: ObjectId, app_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each poke while the block lasts; whoever wakes clears it, and looks."""
        event = asyncio.Event()
        self._listeners.setdefault((user_id, app_id), set()).add(event)
        self.company.set()
        try:
            yield event
        finally:
            listeners = self._listeners[user_id, app_id]
            listeners.discard(event)
            if not listeners:
                del self._listeners[user_id, app_id]
            if not self._listeners:
                self.company.clear()

    def poke(self, user_id: ObjectId, app_id: str) -> None:
        """Something of this app's data of this user has changed."""
        for event in self._listeners.get((user_id, app_id), ()):
            event.set()

    def poke_all(self) -> None:
        """Anything may have changed."""
        for listeners in self._listeners.values():
            for event in listeners:
                event.set()


def hub_of(scope: Any) -> Hub:
    """The hub of the process that serves this request."""
    found: Hub = scope["app"].state.hub
    return found
