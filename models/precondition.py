"""What a conditional write demands of the stored document."""

from dataclasses import dataclass

from models.base import Raw


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be stored for a write to be done: RFC 9110's preconditions, in terms of versions.

    Attributes:
        versions: one of these; None for any version of a live value (`If-Match: *`).
        absent: instead, no live value at all (`If-None-Match: *`).
    """

    versions: tuple[int, ...] | None = None
    absent: bool = False

    def where(self) -> Raw:
        """The filter that a stored document must match beside its key, for the one operation that changes it."""
        if self.absent:
            return {"version": {"$in": []}}
        return {} if self.versions is None else {"version": {"$in": list(self.versions)}}
