"""What a conditional write demands of the stored document."""

from dataclasses import dataclass, replace
from datetime import datetime

from models.base import Raw


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be stored for a write to be done: RFC 9110's preconditions, in terms of versions.

    Attributes:
        versions: one of these; None for any version of a live value (`If-Match: *`).
        absent: instead, no live value at all (`If-None-Match: *`).
        tags: further versions, each of the document with this tag alone; until `of` has told whose
            they are, none.
        changed_before: last changed before this moment (`If-Unmodified-Since`); None for whenever.
        weak: only weak tags were sent, which no write matches.
    """

    versions: tuple[int, ...] | None = None
    absent: bool = False
    tags: tuple[tuple[int, str], ...] = ()
    changed_before: datetime | None = None
    weak: bool = False

    def of(self, tag: str) -> "Expected":
        """The same of the document with this tag: versions only."""
        if not self.tags:
            return self
        named = tuple(version for version, whose in self.tags if whose == tag)
        return replace(self, versions=(*(self.versions or ()), *named), tags=())

    def where(self) -> Raw:
        """The filter that a stored document must match beside its key, for the one operation that
        changes it."""
        if self.absent:
            return {"version": {"$in": []}}
        wanted: Raw = {} if self.versions is None else {"version": {"$in": list(self.versions)}}
        return (
            wanted
            if self.changed_before is None
            else wanted | {"updatedAt": {"$lt": self.changed_before}}
        )
