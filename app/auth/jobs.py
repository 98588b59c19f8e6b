"""What the worker does for sign-in: the cleanup, once an hour, and telling people whose email was
taken.

`GET /v1/admin/jobs` shows the last run.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from bson import ObjectId

from app.auth.cleanup import clean_up
from app.auth.codes.senders import make_sender
from app.auth.identities.taking import TELL, TOLD_WITHIN, tell_former_holder
from app.errors import Unavailable
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.outside.client import new_client
from app.settings import Settings
from app.web.observability import log
from models.base import now

_CLEANUP: Final = "clean-up-sign-in"
PERIODIC: Final = {_CLEANUP: 3600.0}
WOKEN: Final[Mapping[str, tuple[Watched, ...]]] = {}
PLACES: Final = {TELL: 4}  # a sender that hangs holds up its own messages alone


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    return {_CLEANUP: _clean, TELL: partial(_tell, settings)}


async def _clean(claim: Claim) -> None:
    """Clean up, and note what went."""
    await claim.renew(**await clean_up())


async def _tell(settings: Settings, claim: Claim) -> None:
    """Tell the former holder; it is tried again for a day."""
    user_id, timeout = ObjectId(claim.job.progress["userId"]), settings.sender_timeout_seconds
    async with new_client(settings, timeout=timeout, private_hosts=None) as client:
        sender = make_sender(settings, client)
        try:
            told = await tell_former_holder(user_id, str(claim.job.id), sender)
        except Unavailable:
            if now() - claim.job.created_at < TOLD_WITHIN:
                raise
            log.error("the former holder of an email was not told", user=str(user_id))
            told = None
    await claim.renew(told=told is not None)
