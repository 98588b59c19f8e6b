"""What a set of events adds to the rollups, worked out in memory; the same for the worker, queries
and erasures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.analytics.rollup.slots import SLOT_MS, milliseconds
from app.analytics.rollup.sound import is_countable
from models.base import Raw
from models.day import SLOTS
from models.person import person_key

FIELDS: Final = {
    "appId": 1,
    "eventName": 1,
    "eventCategory": 1,
    "timestamp": 1,
    "userId": 1,
    "externalId": 1,
    "anonymousId": 1,
    "sessionId": 1,
}
_LONGEST_VALUE: Final = 256

CountKey = tuple[int, str, str, str]
"""Day, app, category, event name."""
Slots = dict[int, int]


@dataclass(slots=True)
class Visit:
    """A session as its events tell it: first and last in milliseconds, and how many."""

    app: str
    start: int
    end: int
    events: int


@dataclass(slots=True)
class Delta:
    """Changes to day documents, by their keys; `people` has person keys, which are to become
    numbers."""

    counts: dict[CountKey, Slots] = field(default_factory=dict)
    people: dict[CountKey, dict[int, set[str]]] = field(default_factory=dict)
    properties: dict[tuple[CountKey, str], dict[str, Slots]] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)
    events: int = 0

    def add(self, row: Raw, declared: Iterable[str] = ()) -> None:
        """Take one stored event in; whole, or where it cannot be read not at all.

        Args:
            row: with the fields of `FIELDS`, and `eventData` where properties are declared.
            declared: the properties by which its app breaks events down.

        Raises:
            models.aside.ROW_FAULTS: it cannot be read.
        """
        if not is_countable(row):
            raise TypeError("it does not say what happened where and when")
        app = row["appId"]
        moment = milliseconds(row["timestamp"])
        day, slot = divmod(moment // SLOT_MS, SLOTS)
        key = (day, app, row["eventCategory"], row["eventName"])
        person = person_key(row)
        slots = self.counts.get(key)
        if slots is None:
            slots = self.counts[key] = {}
        slots[slot] = slots.get(slot, 0) + 1
        self.events += 1
        if person is not None:
            sets = self.people.get(key)
            if sets is None:
                sets = self.people[key] = {}
            sets.setdefault(slot, set()).add(person)
        if (session := row.get("sessionId")) is not None:
            self._visit(f"{app}/{session}", app, moment)
        for name in declared:
            self._value(key, name, slot, row)

    def add_properties(self, row: Raw, declared: Iterable[str]) -> None:
        """Take in what `add` would of the values of properties, and nothing else."""
        if not is_countable(row):
            raise TypeError("it does not say what happened where and when")
        day, slot = divmod(milliseconds(row["timestamp"]) // SLOT_MS, SLOTS)
        for name in declared:
            self._value(
                (day, row["appId"], row["eventCategory"], row["eventName"]), name, slot, row
            )

    def _value(self, key: CountKey, name: str, slot: int, row: Raw) -> None:
        value = property_value(row.get("eventData"), name)
        if value is not None:
            values = self.properties.setdefault((key, name), {}).setdefault(value, {})
            values[slot] = values.get(slot, 0) + 1

    def _visit(self, name: str, app: str, moment: int) -> None:
        visit = self.visits.get(name)
        if visit is None:
            self.visits[name] = Visit(app, moment, moment, 1)
            return
        visit.start, visit.end = min(visit.start, moment), max(visit.end, moment)
        visit.events += 1

    def persons(self) -> set[str]:
        """The keys of everybody who was there."""
        return {
            person
            for sets in self.people.values()
            for persons in sets.values()
            for person in persons
        }


def property_value(data: Any, name: str) -> str | None:
    """The value of a declared property as text; None where there is none, or one that has parts."""
    value = data.get(name) if isinstance(data, dict) else None
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else None


def scopes_of(category: str, name: str) -> tuple[str, str, str]:
    """The scopes of people documents that an event is in: any event, its category, itself."""
    return "*", f"c:{category}", f"n:{category}/{name}"


SessionChanges = dict[tuple[int, str], dict[int, list[int]]]
"""(Day, app) -> slot -> changes of sessions, milliseconds, events, bounces."""


def stored_visit(row: Mapping[str, Any]) -> Visit:
    """A stored session."""
    return Visit(row["appId"], milliseconds(row["start"]), milliseconds(row["end"]), row["events"])


def joined_visit(before: Visit | None, more: Visit) -> Visit:
    """A session with further events."""
    if before is None:
        return more
    return Visit(
        more.app,
        min(before.start, more.start),
        max(before.end, more.end),
        before.events + more.events,
    )


def replace_visit(changes: SessionChanges, before: Visit | None, after: Visit | None) -> None:
    """Note that a session is another now: it leaves the slot of its former start and enters that of
    its present one."""
    for visit, sign in ((before, -1), (after, 1)):
        if visit is None:
            continue
        day, slot = divmod(visit.start // SLOT_MS, SLOTS)
        change = changes.setdefault((day, visit.app), {}).setdefault(slot, [0, 0, 0, 0])
        told = (1, visit.end - visit.start, visit.events, int(visit.events == 1))
        for place, value in enumerate(told):
            change[place] += sign * value
