"""What is the matter with the indexes of a database, compared with the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from indexes.index import Index

STAND_IN: Final = "satchel_stand_in_"


class Kind(Enum):
    """What is the matter with an index."""

    MISSING = "missing"
    TTL = "ttl"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    REDUNDANT = "redundant"


@dataclass(frozen=True, slots=True)
class Existing:
    """An index as the database has it. One that is still `building` serves no query yet."""

    name: str
    keys: tuple[tuple[str, Any], ...]
    options: Mapping[str, Any]
    building: bool = False

    def does(self, index: Index) -> bool:
        """Whether this does what the table wants, or will once it is built."""
        return self.keys == tuple(index.keys.items()) and self.options == index.options


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: what the table has under this name, if anything, and what the database has in
    its place.

    `covered_by` names the longer index that does the work of a redundant one; None where no
    operation needs it.
    """

    kind: Kind
    collection: str
    name: str
    index: Index | None = None
    existing: tuple[Existing, ...] = ()
    covered_by: str | None = None

    @property
    def stand_in(self) -> bool:
        """Whether this was left by a replacement that was interrupted."""
        return self.kind is Kind.UNKNOWN and self.name.startswith(STAND_IN)

    @property
    def _why_redundant(self) -> str:
        return (
            f"is a prefix of {self.covered_by}" if self.covered_by else "is needed by no operation"
        )

    def __str__(self) -> str:
        there = " and ".join(
            f"{old.name} {describe(dict(old.keys), old.options)}" for old in self.existing
        )
        wanted = describe(self.index.keys, self.index.options) if self.index else ""
        detail = {
            Kind.MISSING: f"is missing: {wanted}",
            Kind.TTL: f"expires after another time: {there} instead of {wanted}",
            Kind.CHANGED: f"is another index: {there} instead of {wanted}",
            Kind.UNKNOWN: (
                f"is in no table{', left by an interrupted --replace' if self.stand_in else ''}:"
                f" {there}"
            ),
            Kind.REDUNDANT: self._why_redundant + ("" if self.existing else ", and not there"),
        }
        return f"{self.collection}.{self.name} {detail[self.kind]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every difference, by collection in the order of the table."""

    findings: tuple[Finding, ...]
    lean: bool = False

    def of(self, *kinds: Kind) -> list[Finding]:
        """The findings of these kinds."""
        return [finding for finding in self.findings if finding.kind in kinds]

    @property
    def drift(self) -> list[Finding]:
        """The findings that make the database differ from the table."""
        return [finding for finding in self.findings if finding.kind is not Kind.REDUNDANT]


def describe(keys: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """An index in one line: `{userId: 1} unique`, with the values of options other than true."""
    fields = ", ".join(f"{name}: {direction}" for name, direction in keys.items())
    rest = (name if value is True else f"{name}={value}" for name, value in options.items())
    return " ".join([f"{{{fields}}}", *rest])
