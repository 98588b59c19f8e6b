"""What the worker does for sign-in: the cleanup, once an hour, and telling people whose email was
taken.

`GET /v1/admin/jobs` shows the last run.
"""

from collections.abc import Mapping
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

    async def clean(claim: Claim) -> None:
        """Clean up, and note what went."""
        await claim.renew(**await clean_up())

    async def tell(claim: Claim) -> None:
        """Tell the former holder; it is tried again for a day."""
        user_id = ObjectId(claim.job.progress["userId"])
        async with new_client(
            settings, timeout=settings.sender_timeout_seconds, private_hosts=None
        ) as client:
            try:
                told = await tell_former_holder(
                    user_id, str(claim.job.id), make_sender(settings, client)
                )
            except Unavailable:
                if now() - claim.job.created_at < TOLD_WITHIN:
                    raise
                log.error("the former holder of an email was not told", user=str(user_id))
                told = None
        await claim.renew(told=told is not None)

    return {_CLEANUP: clean, TELL: tell}
