"""What a worker plans by: which jobs are due next."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from app.jobs import CLAIM
from models.base import Raw, now
from models.job import Job

_AHEAD: Final = 200
_AHEAD_OF_KIND: Final = 20


async def upcoming(kinds: Collection[str]) -> tuple[list[tuple[datetime, str]], frozenset[str]]:
    """When the jobs that are due next can be claimed, and of which kind they are; the first ones,
    earliest first.

    Where there are many, they are asked for kind by kind: those of one kind must not hide those of
    the others.

    Args:
        kinds: that are done here.

    Returns:
        The jobs, and the kinds of which there are more.
    """
    rows = await _due_rows({}, _AHEAD)
    more: set[str] = set()
    if len(rows) == _AHEAD:
        rows = []
        for kind in kinds:
            of_kind = await _due_rows({"kind": kind}, _AHEAD_OF_KIND)
            if len(of_kind) == _AHEAD_OF_KIND:
                more.add(kind)
            rows += of_kind
    moment = now()
    return sorted(found for row in rows if (found := _planned(row, moment)) is not None), frozenset(
        more
    )


async def _due_rows(which: Raw, limit: int) -> list[Raw]:
    fields = {"kind": 1, "runAt": 1, "leasedUntil": 1}
    return (
        await Job.raw()
        .find({"state": "due", **which}, fields)
        .sort("runAt", 1)
        .limit(limit)
        .to_list()
    )


def _planned(row: Raw, moment: datetime) -> tuple[datetime, str] | None:
    due, until = row.get("runAt"), row.get("leasedUntil")
    if not isinstance(due, datetime):
        return None
    if isinstance(until, datetime) and moment < until <= moment + 2 * CLAIM:
        due = max(due, until)
    return due, str(row.get("kind"))
