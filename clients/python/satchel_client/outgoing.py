"""What is sent of the rows that wait, and what is made of the answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from satchel_client.rows import Draft, Row, heard
from satchel_client.storable import size_of
from satchel_client.values import MISSING, Json, Missing, equal

_MOST_BYTES: Final = 768 * 1024


def is_own(draft: Draft, theirs: Json | Missing) -> bool:
    """Whether what is stored is what this client began with, or what it sent, under another
    version: so it is with what was a guest's. Then there is nothing to decide."""
    known = [draft.base, *([] if draft.sent is None else [draft.sent.content])]
    return theirs is not MISSING and any(
        each is not MISSING and equal(each, theirs) for each in known
    )


def learnt(row: Row, current: Mapping[str, Any] | None) -> Row:
    """The row with what is stored; None where there is no live value."""
    if current is None:
        return Row(row.key, MISSING, row.version, row.listing, row.draft)
    return heard(row, current, row.listing)


def write(row: Row) -> dict[str, Any]:
    """The write of a row that was taken."""
    assert row.draft is not None and row.draft.sent is not None  # it was taken
    sent = row.draft.sent
    what = {"delete": True} if sent.content is MISSING else {"value": sent.content}
    return {
        "dataKey": row.key,
        "ifVersion": row.draft.base_version,
        "mutationId": sent.mutation_id,
        **what,
    }


def fitting(rows: Sequence[Row]) -> list[Row]:
    """As many as one request takes; the first in any case."""
    room = _MOST_BYTES
    taken: list[Row] = []
    for row in rows:
        sent = row.draft.sent if row.draft else None
        room -= 512 + (0 if sent is None else size_of(sent.content))
        if room < 0 and taken:
            break
        taken.append(row)
    return taken
