"""The hub: wakes whoever of this process waits for a change of an app's data of a user.

A poke is a hint to look, never the change itself. What is missed is seen at the next look, late and
not lost.
"""

import asyncio
from typing import Any

from bson import ObjectId

from app.web.streams.signals import Wake

Place = tuple[ObjectId, str]
"""A user and an app."""


class Hub:
    """Who listens, by user and app.

    Attributes:
        company: set while anybody listens.
    """

    def __init__(self) -> None:
        self.company = asyncio.Event()
        self._listeners: dict[Place, set[Wake]] = {}

    def listen(self, user_id: ObjectId, app_id: str) -> "_Listening":
        """A context manager of an event that is set at each poke; whoever wakes clears it, and
        looks."""
        return _Listening(self, (user_id, app_id))

    def _enter(self, place: Place, wake: Wake) -> None:
        self._listeners.setdefault(place, set()).add(wake)
        self.company.set()

    def _leave(self, place: Place, wake: Wake) -> None:
        listeners = self._listeners[place]
        listeners.discard(wake)
        if not listeners:
            del self._listeners[place]
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


class _Listening:
    """Somebody who listens while the block lasts: smaller than a generator."""

    __slots__ = ("_hub", "_place", "_wake")

    def __init__(self, hub: Hub, place: Place) -> None:
        self._hub, self._place, self._wake = hub, place, Wake()

    def __enter__(self) -> Wake:
        self._hub._enter(self._place, self._wake)
        return self._wake

    def __exit__(self, *_: object) -> None:
        self._hub._leave(self._place, self._wake)


def hub_of(scope: Any) -> Hub:
    """The hub of the process that serves this request."""
    found: Hub = scope["app"].state.hub
    return found
