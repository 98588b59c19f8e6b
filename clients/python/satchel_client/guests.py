"""Guests: who begin without signing in, and sign in later with what they have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from satchel_client.cache import Cache

Side = Literal["target", "source"]
Keep = Side | Mapping[str, Side]
"""Whose is kept where both have something: `target` is the person's, `source` the guest's."""
Keys = list[str]


@dataclass(frozen=True, slots=True)
class GuestOutcome:
    """What became of the guest of this device when they signed in.

    Attributes:
        state: `became`: the guest is this person, with the same id. `merged`: what they had is this
            person's. `kept`: both have something: `merge_guest` decides. `gone`: the server does
            not know the guest any more.
        conflicts: what both have.
    """

    state: str
    conflicts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who has signed in, whether they were made by it, and what became of the guest, where there
    was one."""

    user_id: str
    created: bool
    guest: GuestOutcome | None

    @classmethod
    def of(cls, pair: Mapping[str, Any]) -> "SignedIn":
        """What an answer tells."""
        told = pair.get("guest")
        guest = None if told is None else GuestOutcome(told["state"], told.get("conflicts") or [])
        return cls(pair["userId"], pair.get("created", False), guest)


class Whose(Protocol):
    """Who knows which guests the person was."""

    left: dict[tuple[str, str], Cache]

    @property
    def merged(self) -> tuple[str, ...]:
        """Guests who are this person now."""


def path_of(folder: Path | None, user_id: str, app_id: str) -> Path | None:
    """Where a person's data of an app is kept; None for memory."""
    return None if folder is None else folder / f"{user_id}.{app_id}.sqlite3"


class Legacy:
    """What guests left unsent of one app, who are the person now whose store this is."""

    def __init__(self, whose: Whose, app_id: str, folder: Path | None, cache: Cache) -> None:
        self._whose, self._app_id, self._folder, self._cache = whose, app_id, folder, cache
        self._done: set[str] = set()

    def take(self) -> Keys:
        """Take over what was not sent; the keys that look different. What waits for the person's
        own comes later."""
        waiting = [guest for guest in self._whose.merged if guest not in self._done]
        return [key for guest in waiting for key in self._take_from(guest)]

    def _take_from(self, guest: str) -> Keys:
        left, path = self._whose.left.get((guest, self._app_id)), None
        if left is None:
            path = path_of(self._folder, guest, self._app_id)
            if path is None or not path.exists():
                self._done.add(guest)
                return []
            left = Cache(path)
        keys = self._adopted(left)
        if not left.pending():
            left.drop()
            self._whose.left.pop((guest, self._app_id), None)
            self._done.add(guest)
        elif path is not None:
            left.close()
        return keys

    def _adopted(self, left: Cache) -> Keys:
        keys: Keys = []
        for row in left.drafts():
            if row.draft is not None and self._cache.adopt(row.key, row.draft):
                keys.append(row.key)
                left.update(row.key, lambda now: replace(now, draft=None))
        return keys
