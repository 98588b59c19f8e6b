"""What the worker does for the ledger: notes outside what was deleted, as soon as it was."""

from typing import Final

from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.ledger import write_out
from app.settings import Settings
from models.ledger_note import LedgerNote

_NOTE: Final = "note-deletions"
PERIODIC: Final = {_NOTE: 600.0}
WOKEN: Final = {_NOTE: (Watched(LedgerNote, "kind"),)}
PLACES: Final = {_NOTE: 1}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def note(_: Claim) -> None:
        """Write out what is to be noted, and every ten minutes how far the database has come."""
        await write_out(settings)

    return {_NOTE: note}
