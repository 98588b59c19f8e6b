"""How large and how old the ledger is, and whether what is to be noted waits."""

import asyncio
from typing import Final

from app.jobs.gauges import Measured
from app.ledger import Ledger
from app.settings import Settings
from app.web.observability.measures import LEDGER_FILES, LEDGER_OLDEST, LEDGER_WAITING
from models.base import now
from models.ledger_note import LedgerNote

_EVERY: Final = 10
"""The files are listed each so many times that the rest is measured: a bucket may have many."""


def measured(settings: Settings) -> Measured:
    """What a worker measures of the ledger: one query by an index, and now and then the files."""
    ledger, times = Ledger.of(settings), 0

    async def measure() -> None:
        nonlocal times
        waiting = await LedgerNote.oldest(1)
        age = (now() - waiting[0]["at"]).total_seconds() if waiting else 0
        LEDGER_WAITING.set(max(age, 0))
        if times % _EVERY == 0:
            await _measure_files(ledger)
        times += 1

    return Measured("the ledger", measure, (LEDGER_WAITING, LEDGER_FILES, LEDGER_OLDEST))


async def _measure_files(ledger: Ledger) -> None:
    files = await asyncio.to_thread(ledger.files)
    LEDGER_FILES.set(len(files))
    first = await asyncio.to_thread(ledger.notes_in, files[0]) if files else []
    LEDGER_OLDEST.set((now() - first[0]["at"]).total_seconds() if first else 0)
