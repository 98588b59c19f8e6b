"""Where a router of a sharded cluster would send a command: to the shards that its filter names, to
all, or nowhere.

The rules are those of MongoDB 6.0, the strictest that Satchel runs on: an update or deletion of one
document names the whole shard key or the `_id`, `findAndModify` and an upsert the whole shard key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from indexes.sharding import ShardKey
from models.base import Raw

_LOGIC: Final = ("$and", "$or")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a command asks of a collection.

    Attributes:
        verb: `find`, `aggregate`, `update one`, `update many`, `delete one`, `delete many`,
            `findAndModify`, `upsert`, `count`, `distinct`.
        where: its filter.
        sets: the fields that it writes.
    """

    verb: str
    where: Mapping[str, Any]
    sets: frozenset[str] = frozenset()

    @property
    def shape(self) -> str:
        """`<verb> <fields compared>`, as the table of scatters has it."""
        return f"{self.verb} {', '.join(sorted(_fields(self.where))) or '-'}"

    def is_routed(self, key: ShardKey) -> bool:
        """Whether only shards that its filter names are asked."""
        return _is_pinned(self.where, key.fields[0])

    def fault(self, key: ShardKey) -> str | None:
        """Why the cluster would refuse it, None where it would not."""
        whole = all(_is_equal(self.where, name) for name in key.fields)
        if self.verb in ("findAndModify", "upsert") and not whole:
            return f"{self.verb} without the whole shard key: {self.shape}"
        by_id = _is_equal(self.where, "_id")
        if self.verb in ("update one", "delete one") and not (whole or by_id):
            return f"{self.verb} without shard key or _id: {self.shape}"
        if moved := self.sets & set(key.fields):
            return f"{self.verb} moves a document to another shard by {sorted(moved)}"
        return None


def sent(command: Raw) -> Iterator[Sent]:
    """What a command asks of the collection that it names."""
    if "find" in command:
        yield Sent("find", command.get("filter", {}))
    elif "aggregate" in command:
        yield Sent("aggregate", _first_match(command["pipeline"]))
    elif "count" in command or "distinct" in command:
        yield Sent("count" if "count" in command else "distinct", command.get("query", {}))
    elif "findAndModify" in command:
        yield Sent("findAndModify", command["query"], _written(command.get("update", {})))
    for each in command.get("updates", []):
        verb = "upsert" if each.get("upsert") else "update many" if each.get("multi") else None
        yield Sent(verb or "update one", each["q"], _written(each["u"]))
    for each in command.get("deletes", []):
        yield Sent("delete one" if each["limit"] else "delete many", each["q"])


def _first_match(pipeline: Sequence[Raw]) -> Mapping[str, Any]:
    first = pipeline[0] if pipeline else {}
    found: Mapping[str, Any] = first.get("$match", {})
    return found


def _written(update: Any) -> frozenset[str]:
    """The fields that an update of a document that is there sets."""
    stages = update if isinstance(update, list) else [update]
    names = set()
    for stage in stages:
        for operator, fields in stage.items():
            if operator in ("$set", "$unset", "$inc", "$push", "$pull", "$addSet"):
                names |= set([fields] if isinstance(fields, str) else fields)
    return frozenset(names)


def _fields(where: Mapping[str, Any]) -> set[str]:
    found = set()
    for name, value in where.items():
        found |= set().union(*map(_fields, value)) if name in _LOGIC else {name}
    return found


def _is_pinned(where: Mapping[str, Any], name: str) -> bool:
    """Whether a filter compares a field with known values in every branch."""
    if name in where and (_is_value(where[name]) or "$in" in where[name]):
        return True
    if any(_is_pinned(branch, name) for branch in where.get("$and", [])):
        return True
    branches = where.get("$or", [])
    return bool(branches) and all(_is_pinned(branch, name) for branch in branches)


def _is_equal(where: Mapping[str, Any], name: str) -> bool:
    if name in where and _is_value(where[name]):
        return True
    return any(_is_equal(branch, name) for branch in where.get("$and", []))


def _is_value(condition: Any) -> bool:
    is_operator = isinstance(condition, Mapping) and any(key.startswith("$") for key in condition)
    return not is_operator or "$eq" in condition
