"""What the worker does for sign-in: the cleanup, once an hour. `GET /v1/admin/jobs` shows its last run."""

from typing import Final

from app.auth.cleanup import clean_up
from app.jobs import Claim, Handler
from app.settings import Settings

_CLEANUP: Final = "clean-up-sign-in"
PERIODIC: Final = {_CLEANUP: 3600.0}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def clean(claim: Claim) -> None:
        """Clean up, and note what went."""
        await claim.renew(**await clean_up())

    return {_CLEANUP: clean}
