"""Pages of lists that no route of the API pages: by how many came before, or by the last id."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from app.console.frame.forms import whole_number
from app.console.frame.pages import PER_PAGE, Desk, Values
from models.base import Raw

LOOKED_AT: Final = 1000
"""Rows that are read for a page of those among them that fit."""
MOST_SKIPPED: Final = 10_000


def skipped(desk: Desk) -> int:
    """How many rows come before the page that is asked for."""
    return min(whole_number(desk.query("cursor")) or 0, MOST_SKIPPED)


def slice_of(desk: Desk, items: Sequence[Any]) -> Values:
    """A page of a list that is short enough to be there whole."""
    start = skipped(desk)
    shown = first_of(items[start:], PER_PAGE, start)
    return {**shown, "total": len(items)}


def first_of(rows: Sequence[Any], size: int, before: int) -> Values:
    """A page of rows of which one more was read than it shows, where there are more.

    Args:
        rows: as read.
        size: of the page.
        before: how many rows come before them.
    """
    more = len(rows) > size and before < MOST_SKIPPED
    return {"rows": rows[:size], "following": str(before + size) if more else None}


def sifted(rows: Sequence[Raw], fits: Callable[[Raw], bool]) -> Values:
    """A page of those that fit among `LOOKED_AT` rows in the order of `_id`."""
    fit = [row for row in rows if fits(row)]
    if len(fit) > PER_PAGE:
        return {"rows": fit[:PER_PAGE], "following": str(fit[PER_PAGE - 1]["_id"])}
    return {"rows": fit, "following": str(rows[-1]["_id"]) if len(rows) == LOOKED_AT else None}
