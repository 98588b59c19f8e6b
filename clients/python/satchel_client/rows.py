"""What a client knows of a key: what the server is known to have, and what was changed here and not
stored yet."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from satchel_client.values import MISSING, Json, Missing, equal


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and whose answer is not known: it is sent again as it was."""

    content: Json | Missing
    mutation_id: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that was made here and is not known to be stored.

    Attributes:
        order: place in line; that of the first change which was not sent.
        content: what is to be stored; MISSING to delete.
        mutation_id: by which the server knows the change when it comes again.
        base: what the server had when the first change was made, base_version under which version.
        sent: what is under way.
    """

    order: int
    content: Json | Missing
    mutation_id: str
    base: Json | Missing
    base_version: int
    sent: Sent | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One key. `version` is 0 where nothing was ever heard of it; `listing` is the listing that it
    was seen in last."""

    key: str
    stored: Json | Missing = MISSING
    version: int = 0
    listing: int = 0
    draft: Draft | None = None

    @property
    def seen(self) -> Json | Missing:
        """What the app sees: its own change, or else what is stored."""
        return self.stored if self.draft is None else self.draft.content


def edited(row: Row, content: Json | Missing, order: int) -> Row:
    """The row after a change made here. Changes that were not sent become one."""
    if row.draft is not None:
        return replace(row, draft=replace(row.draft, content=content, mutation_id=_mutation()))
    version = 0 if row.stored is MISSING else row.version
    return replace(row, draft=Draft(order, content, _mutation(), row.stored, version))


def heard(row: Row, told: Mapping[str, Any], listing: int) -> Row:
    """The row after what the server told of it; older news are no news."""
    if told["version"] <= row.version:
        return replace(row, listing=listing)
    stored = MISSING if told.get("deleted") else told.get("value")
    return replace(row, stored=stored, version=told["version"], listing=listing)


def adopted(row: Row, draft: Draft, order: int) -> Row | None:
    """The row with a draft of a guest who is this person now; None where it has one of its own,
    which comes first."""
    return replace(row, draft=replace(draft, order=order)) if row.draft is None else None


def marked(row: Row) -> Row:
    """The row with its draft marked as sent, unless one is already under way."""
    draft = row.draft
    if draft is None or draft.sent is not None:
        return row
    return replace(row, draft=replace(draft, sent=Sent(draft.content, draft.mutation_id)))


def settled(row: Row, mutation_id: str, version: int) -> Row:
    """The row after its change was stored under a version."""
    draft = row.draft
    if draft is None or draft.sent is None or draft.sent.mutation_id != mutation_id:
        return row
    content = draft.sent.content
    told = {"version": version, **({"deleted": True} if content is MISSING else {"value": content})}
    now = heard(row, told, row.listing)
    if draft.mutation_id == mutation_id:
        return replace(now, draft=None)
    return replace(now, draft=replace(draft, base=content, base_version=version, sent=None))


def decided(row: Row, theirs: Json | Missing, version: int, mine: Json | Missing) -> Row:
    """The row after a conflict was decided; `version` is 0 where there is no live value."""
    if row.draft is None or ((mine is MISSING) == (theirs is MISSING) and equal(mine, theirs)):
        return replace(row, draft=None)
    draft = replace(
        row.draft,
        content=mine,
        mutation_id=_mutation(),
        base=theirs,
        base_version=version,
        sent=None,
    )
    return replace(row, draft=draft)


def refused(row: Row, mutation_id: str) -> Row:
    """The row after its change was refused for good; a later one is still to be sent."""
    draft = row.draft
    if draft is None or draft.sent is None or draft.sent.mutation_id != mutation_id:
        return row
    return replace(
        row, draft=None if draft.mutation_id == mutation_id else replace(draft, sent=None)
    )


def unlisted(row: Row, listing: int) -> Row | None:
    """A row that a listing of everything did not name: None where it goes; where a draft is left,
    that alone stays."""
    if row.listing == listing:
        return row
    return None if row.draft is None else replace(row, stored=MISSING, version=0)


def _mutation() -> str:
    return str(uuid.uuid4())
