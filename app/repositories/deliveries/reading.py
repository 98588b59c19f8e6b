"""Reading a delivery: checked while it comes, kept as far as there is room, in memory with a bound
for all of them.

Hosts send up to 25 MB, most of them a few KiB. What is large needs room that it shares with the
others that are large; it waits for that unread, which holds the sender back. Where no room comes
free it is read and not kept: then it is known whether it was genuine, and its connection can tell
    that one was lost.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from app.outside.signatures import Signing
from app.web.body import MAX_BODY_BYTES, MAX_DELIVERY_BYTES

_SECONDS: Final = 4.0
"""How long a large delivery waits for room: hosts give up after ten seconds."""
_MOST_WAITING: Final = 8
"""How many wait: each of them has a place among the requests that are worked on."""


@dataclass(slots=True, eq=False)
class Claim:
    """Room that is held, or was refused.

    Attributes:
        size: bytes.
        owner: whose they are.
        is_verified: whether it is known that the owner's host sends what they are for.
        has_room: whether they were to be had.
    """

    size: int
    owner: object
    is_verified: bool
    has_room: bool = False


class Room:
    """Memory for large deliveries, shared by all of a process. Nobody has more than half of it, but
    for a single one.

    What is not verified yet may be anybody's: all of that of one owner has no more than a single
    delivery may need.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._each = size // 2
        self._held = Counter[object]()
        self._unverified = Counter[object]()
        self._waiting = 0
        self._changed = asyncio.Condition()
        self._cutting = asyncio.Lock()

    @asynccontextmanager
    async def hold(
        self, size: int, owner: object, seconds: float | None = None, *, is_verified: bool = True
    ) -> AsyncIterator[Claim]:
        """Room for so many bytes while the block lasts, or a claim without room where none came
        free in time.

        Args:
            size: bytes.
            owner: whose they are.
            seconds: to wait.
            is_verified: whether it is known already that the owner's host sends them.
        """
        claim = Claim(size, owner, is_verified)
        claim.has_room = not size or await self._take(
            claim, _SECONDS if seconds is None else seconds
        )
        try:
            yield claim
        finally:
            if claim.has_room and size:
                await asyncio.shield(self._give_back(claim))

    async def verified(self, claim: Claim) -> None:
        """What a claim is for is genuine: it stands no longer in the way of the owner's next."""
        async with self._changed:
            self._verify(claim)
            self._changed.notify_all()

    @property
    def cutting(self) -> asyncio.Lock:
        """One payload is cut at a time."""
        return self._cutting

    def _has(self, claim: Claim) -> bool:
        held, size = self._held[claim.owner], claim.size
        if not claim.is_verified and self._unverified[claim.owner] + size > MAX_DELIVERY_BYTES:
            return False
        return size <= self.free and (not held or held + size <= self._each)

    def _verify(self, claim: Claim) -> None:
        if not claim.is_verified and claim.has_room:
            self._unverified[claim.owner] -= claim.size
            self._unverified += Counter()
        claim.is_verified = True

    async def _take(self, claim: Claim, seconds: float) -> bool:
        if not self._has(claim) and self._waiting >= _MOST_WAITING:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._has(claim))
                self.free -= claim.size
                self._held[claim.owner] += claim.size
                self._unverified[claim.owner] += 0 if claim.is_verified else claim.size
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _give_back(self, claim: Claim) -> None:
        async with self._changed:
            self._verify(claim)
            self.free += claim.size
            self._held[claim.owner] -= claim.size
            self._held += Counter()  # without those that have nothing
            self._changed.notify_all()


@dataclass(slots=True)
class Delivery:
    """A body as it was read.

    Attributes:
        digest: SHA-256 of it, in hex.
        size: bytes.
        parts: the body; None where there was no room for it.
    """

    digest: str
    size: int
    parts: list[bytes] | None

    @property
    def is_large(self) -> bool:
        """Whether it is larger than other bodies may be."""
        return self.size > MAX_BODY_BYTES


def room_needed(announced: str | None) -> int:
    """Bytes of shared room that a body needs, by its `Content-Length`: none for a small one, all
    there may be without.

    Args:
        announced: the header.
    """
    size = int(announced) if announced is not None and announced.isdigit() else MAX_DELIVERY_BYTES
    return 0 if size <= MAX_BODY_BYTES else min(size, MAX_DELIVERY_BYTES)


async def read(stream: AsyncIterator[bytes], signing: Signing, *, keep: bool) -> Delivery:
    """Read a body to its end, and sign it on the way; its parts are kept only if they may be."""
    digest, size, parts = sha256(), 0, list[bytes]()
    async for part in stream:
        digest.update(part)
        signing.add(part)
        size += len(part)
        if keep or size <= MAX_BODY_BYTES:
            parts.append(part)
        else:
            parts.clear()
    return Delivery(digest.hexdigest(), size, parts if keep or size <= MAX_BODY_BYTES else None)
