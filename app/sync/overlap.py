"""The overlap: how far before its cursor a poll looks again (docs/sync.md).

A write is stamped when it is made and seen when it commits, which is later by the life of a
transaction at most. The database ends every transaction after `transactionLifetimeLimitSeconds`;
half as much again and a margin are for clocks of two members that differ.
"""

from typing import Any, Final

from bson import Timestamp as ClusterTime
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from app.web.observability import log
from models.base import Raw

_PARAMETER: Final = "transactionLifetimeLimitSeconds"
_DEFAULT: Final = 60
_MARGIN: Final = 30


async def overlap_of(client: AsyncMongoClient[Raw]) -> int:
    """The overlap in seconds. To be read at the start: restart Satchel after the database's
    parameter was changed."""
    return lifetime_to_overlap(await _lifetime(client))


def lifetime_to_overlap(seconds: int) -> int:
    """The overlap for transactions that live that long."""
    return seconds * 3 // 2 + _MARGIN


async def _lifetime(client: AsyncMongoClient[Raw]) -> int:
    try:
        answer = await client.admin.command({"getParameter": 1, _PARAMETER: 1})
        return int(answer[_PARAMETER])
    except OperationFailure as error:  # a mongos has none, and a user of few rights may not ask
        log.warning(f"{_PARAMETER} cannot be read: taken for {_DEFAULT}", code=error.code)
        return _DEFAULT


def before(at: ClusterTime, seconds: int) -> ClusterTime:
    """The stamp that lies that many seconds earlier."""
    return ClusterTime(max(0, at.time - seconds), 0)


def overlap_in(scope: Any) -> int:
    """The overlap of the process that serves this request."""
    found: int = scope["app"].state.overlap
    return found
