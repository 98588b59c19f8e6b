"""Reading a delivery: checked while it comes, kept as far as there is room, in memory with a bound
for all of them.

Hosts send up to 25 MB, most of them a few KiB. What is large needs room that it shares with the
others that are large; it waits for that unread, which holds the sender back. Where no room comes
free it is read and not kept: then it is known whether it was genuine, and its connection can tell
that one was lost.

Who is genuine is known at the end of a body alone, so a stranger who knows a connection's id can
send what is none. Strangers are those from whose neighbourhood nothing genuine came to that
connection: they give their room up to whoever is none, and to a stranger from elsewhere who wants
less.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from cachetools import LRUCache

from app.outside.signatures import Signing
from app.web.body import MAX_BODY_BYTES, MAX_DELIVERY_BYTES

_SECONDS: Final = 4.0
"""How long a large delivery waits for room: hosts give up after ten seconds."""
_MOST_WAITING: Final = 8
"""How many wait: each of them has a place among the requests that are worked on. Half of these may
be strangers."""
_MOST_KNOWN: Final = 10_000
_BITS: Final = {4: 20, 6: 32}
"""How much of an address is the neighbourhood."""


@dataclass(slots=True, eq=False)
class Claim:
    """Room that is held, or was refused, or was given up to somebody else.

    Attributes:
        size: bytes.
        owner: whose they are.
        source: the neighbourhood that they come from.
        is_verified: whether it is known that the owner's host sends what they are for.
        is_strange: whether nothing genuine came to the owner from there.
        has_room: whether they were to be had.
        is_given_up: whether they went to somebody else.
        parts: what was read, as long as there is room for it.
    """

    size: int
    owner: object
    source: str | None
    is_verified: bool
    is_strange: bool
    has_room: bool = False
    is_given_up: bool = False
    parts: list[bytes] = field(default_factory=list)


class Room:
    """Memory for large deliveries, shared by all of a process. Nobody has more than half of it, but
    for a single one.

    What is not verified yet may be anybody's: all of that of one owner, or of a stranger to them
    from one neighbourhood, has no more than a single delivery may need.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._each = size // 2
        self._claims: dict[Claim, None] = {}
        self._genuine: LRUCache[tuple[object, str | None], bool] = LRUCache(_MOST_KNOWN)
        self._waiting = Counter[bool]()
        self._changed = asyncio.Condition()
        self._cutting = asyncio.Lock()

    @asynccontextmanager
    async def hold(
        self,
        size: int,
        owner: object,
        seconds: float | None = None,
        *,
        source: str | None = None,
        is_verified: bool = True,
    ) -> AsyncIterator[Claim]:
        """Room for so many bytes while the block lasts, or a claim without room where none came
        free in time.

        Args:
            size: bytes.
            owner: whose they are.
            seconds: to wait.
            source: the neighbourhood that they come from.
            is_verified: whether it is known already that the owner's host sends them.
        """
        is_strange = not is_verified and (owner, source) not in self._genuine
        claim = Claim(size, owner, source, is_verified, is_strange)
        claim.has_room = not size or await self._take(
            claim, _SECONDS if seconds is None else seconds
        )
        try:
            yield claim
        finally:
            await asyncio.shield(self._give_back(claim))

    async def verified(self, claim: Claim) -> None:
        """What a claim is for is genuine: it stands no longer in the way of the owner's next, and
        who sends from there is no stranger any more."""
        async with self._changed:
            self._genuine[claim.owner, claim.source] = True
            claim.is_verified, claim.is_strange = True, False
            self._changed.notify_all()

    @property
    def cutting(self) -> asyncio.Lock:
        """One payload is cut at a time."""
        return self._cutting

    def _may_have(self, claim: Claim) -> bool:
        """Whether a claim is within the bounds of its owner, or of its neighbourhood."""
        own = [each for each in self._claims if each.owner == claim.owner]
        if claim.is_strange:
            own = [each for each in own if each.is_strange and each.source == claim.source]
            return _size(own) + claim.size <= MAX_DELIVERY_BYTES
        own = [each for each in own if not each.is_strange]
        unverified = _size(each for each in own if not each.is_verified)
        if not claim.is_verified and unverified + claim.size > MAX_DELIVERY_BYTES:
            return False
        return not own or _size(own) + claim.size <= self._each

    def _finds(self, claim: Claim) -> bool:
        """Whether there is room for a claim, that of strangers being given up for it if need be."""
        if not self._may_have(claim):
            return False
        yielding = [] if claim.size <= self.free else self._yielding(claim)
        if self.free + _size(yielding) < claim.size:
            return False
        while claim.size > self.free:
            given_up = yielding.pop()
            given_up.is_given_up = True
            self._drop(given_up)
        return True

    def _yielding(self, claim: Claim) -> list[Claim]:
        """The strangers who give up their room for a claim, the latest last; for another stranger's
        those from where more is wanted than from there."""
        strangers = [each for each in self._claims if each.is_strange]
        if not claim.is_strange:
            return strangers
        wanted = Counter[str | None]()
        for each in [*strangers, claim]:
            wanted[each.source] += each.size
        most, size = wanted.most_common(1)[0]
        if size <= wanted[claim.source]:
            return []
        return [each for each in strangers if each.source == most]

    def _drop(self, claim: Claim) -> None:
        """Take a claim's room away; what was read is forgotten."""
        self._claims.pop(claim)
        self.free += claim.size
        claim.has_room = False
        claim.parts.clear()

    async def _take(self, claim: Claim, seconds: float) -> bool:
        most = _MOST_WAITING // 2 if claim.is_strange else _MOST_WAITING
        if not self._finds(claim) and self._waiting[claim.is_strange] >= most:
            return False
        self._waiting[claim.is_strange] += 1
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._finds(claim))
                self.free -= claim.size
                self._claims[claim] = None
        except TimeoutError:
            return False
        finally:
            self._waiting[claim.is_strange] -= 1
        return True

    async def _give_back(self, claim: Claim) -> None:
        async with self._changed:
            if claim in self._claims:
                self._drop(claim)
                self._changed.notify_all()


def _size(claims: Iterable[Claim]) -> int:
    return sum(claim.size for claim in claims)


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


async def read(stream: AsyncIterator[bytes], signing: Signing, claim: Claim) -> Delivery:
    """Read a body to its end, and sign it on the way; its parts are kept only while there is room
    for them, or where it is small."""
    digest, size = sha256(), 0
    async for part in stream:
        digest.update(part)
        signing.add(part)
        size += len(part)
        if _is_kept(claim, size):
            claim.parts.append(part)
        else:
            claim.parts.clear()
    return Delivery(digest.hexdigest(), size, claim.parts if _is_kept(claim, size) else None)


def _is_kept(claim: Claim, size: int) -> bool:
    if claim.is_given_up:
        return False
    return size <= MAX_BODY_BYTES or (claim.has_room and claim.size > 0)


def neighbourhood(address: str | None) -> str | None:
    """Where a request comes from: the hosts send from several addresses of a few networks."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return None  # a socket's path, or what a proxy made up
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ip_network((found.packed, _BITS[found.version]), strict=False))
