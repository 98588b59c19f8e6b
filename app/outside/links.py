"""Removing links to outside systems after what they belonged to went here; a host that is down only
delays it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from app.jobs import Claim
from app.jobs.backoff import OUTSIDE
from app.outside.client import TryLater
from app.outside.keyring import KeyRing, SealedError
from app.outside.places import LeftOut, Taken, work_off
from app.web.observability import log
from models.aside import ROW_FAULTS, tell
from models.base import now
from models.outside_link import LinkKind, OutsideLink

Remove = Callable[[OutsideLink, str], Awaitable[None]]
"""Removes one link, given its token; a link that is gone already is no error. Raises TryLater."""

_AT_ONCE: Final = 8
_GIVEN_UP_AFTER: Final = timedelta(days=30)


async def remove_due(
    kind: LinkKind, remove: Remove, keyring: KeyRing, claim: Claim | None = None
) -> int:
    """Remove the links of a kind that are due. What does not work is tried again, for 30 days.

    Args:
        kind: of link.
        remove: removes one.
        keyring: opens the tokens.
        claim: of the job, renewed in between.

    Returns:
        How many are gone.
    """
    removed = 0

    async def take(left_out: LeftOut) -> Taken | None:
        link = await OutsideLink.claim(kind, fresh=left_out.failed)
        return None if link is None else Taken(work(link), None, link.attempts > 0)

    async def work(link: OutsideLink) -> None:
        nonlocal removed
        try:
            gone = await _remove_one(link, remove, keyring)
        except ROW_FAULTS as error:
            tell(OutsideLink, link.id, error)
            await _put_off(link, "unreadable", None)
        else:
            removed += gone

    async def note(_: int) -> None:
        if claim is not None:
            await claim.renew(removed=removed)

    await work_off(_AT_ONCE, take, note)
    return removed


async def _remove_one(link: OutsideLink, remove: Remove, keyring: KeyRing) -> bool:
    try:
        token = keyring.open(
            link.access_token,
            OutsideLink.place_in(link.stored() | {"_id": link.id}, "access_token"),
        )
        await remove(link, token.get_secret_value())
    except SealedError as error:
        log.error(
            "an outside link cannot be removed",
            kind=link.kind,
            origin=str(link.origin_id),
            reason=str(error),
        )
        await _put_off(link, "unreadable", None)
        return False
    except TryLater as error:
        await _put_off(link, error.reason, error.retry_after)
        return False
    return await link.remove()


async def _put_off(link: OutsideLink, reason: str, told: float | None) -> None:
    moment = now()
    if moment - link.created_at > _GIVEN_UP_AFTER:
        log.error(
            "an outside link was given up",
            kind=link.kind,
            origin=str(link.origin_id),
            reason=reason,
        )
        await link.remove()
        return
    await link.put_off(moment + OUTSIDE.after(link.attempts + 1, told), reason)
