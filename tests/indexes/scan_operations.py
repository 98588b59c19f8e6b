"""What integrity scans send, and what is measured of jobs."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from bson import ObjectId

from models.integrity import IntegrityScan

Operation = Callable[[], Awaitable[Any]]
LABEL: Final = "appdata.userId"


async def advance() -> None:
    scan = await IntegrityScan.begin(LABEL, restart=False)
    await scan.advance(ObjectId(), {"scanned": 1}, [])


async def finish() -> None:
    await (await IntegrityScan.begin(LABEL, restart=False)).finish()


SCAN_OPERATIONS: Final[dict[str, list[Operation]]] = {
    "IntegrityScan.begin": [
        lambda: IntegrityScan.begin(LABEL, restart=False),
        lambda: IntegrityScan.begin(LABEL, restart=True),
    ],
    "IntegrityScan.advance": [advance],
    "IntegrityScan.finish": [finish],
}
