"""Stored rows, read one by one: those that cannot be read, which queries and the worker have to
step over, are found and named."""

from collections.abc import Callable
from typing import Any, Final

from models import DOCUMENTS
from models.analytics import Analytics
from models.app_data import AppData
from models.aside import is_readable
from models.base import Raw, Stored
from models.integrity import IntegrityScan

READ: Final[tuple[type[Stored], ...]] = tuple(
    document for document in DOCUMENTS if document not in (Analytics, IntegrityScan)
)
"""The collections whose rows are read one by one: all but events, of which there may be very many
(who counts them tells of those that cannot be), and the scans themselves."""
_BATCH: Final = 1000
_WITHOUT: Final[dict[type[Stored], Raw]] = {
    AppData: {"value": 0, "escaped": 0, "history": 0, "queryKeys": 0}
}

Progress = Callable[[str, int], None]


async def check_rows(progress: Progress = lambda _label, _seen: None) -> list[IntegrityScan]:
    """Read every row of these collections. Returns a scan for each; its label is the collection's
    name.

    Raises:
        LostScan: another check has taken over.
    """
    return [await _check(document, progress) for document in READ]


async def _check(document: type[Stored], progress: Progress) -> IntegrityScan:
    label = document.collection_name()
    scan = await IntegrityScan.begin(label, restart=True)
    rows: list[Raw] = []
    async for row in document.raw().find({}, _WITHOUT.get(document)):
        rows.append(row)
        if len(rows) == _BATCH:
            await _note(scan, document, rows, progress)
            rows = []
    if rows:
        await _note(scan, document, rows, progress)
    return await scan.finish()


async def _note(
    scan: IntegrityScan, document: type[Stored], rows: list[Raw], progress: Progress
) -> None:
    odd: list[Any] = [row["_id"] for row in rows if not is_readable(document, row)]
    named = [{"kind": "unreadable", "id": str(row_id)} for row_id in odd]
    await scan.advance(rows[-1]["_id"], {"scanned": len(rows), "unreadable": len(odd)}, named)
    progress(scan.id, len(rows))
