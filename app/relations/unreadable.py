"""The rows that the worker goes by, read one by one: those that it has to step over are found and
named."""

from collections.abc import Callable
from typing import Any, Final

from models.app_data import AppData
from models.aside import is_readable
from models.base import Raw, Stored
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.deletion import Deletion
from models.integrity import IntegrityScan
from models.job import Job
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent

READ_BY_JOBS: Final[tuple[type[Stored], ...]] = (
    AppData,
    CardEvent,
    CardQueue,
    Connection,
    Deletion,
    Job,
    OutsideLink,
    RepositoryConnection,
    WebhookEvent,
)
"""The collections of whose rows a loop of the worker makes documents."""
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
    return [await _check(document, progress) for document in READ_BY_JOBS]


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
