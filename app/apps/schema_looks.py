"""How much work a JSON Schema makes: how often the library looks at one place of a value.

It looks once for each schema that applies there, and follows a reference as often as one is
written. So a few references within each other make a schema of one kilobyte as large as one likes.
Recursion adds nothing: what was found of a place is kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

MOST_LOOKS: Final = 10_000
"""At one place."""
MOST_DEEP: Final = 64
"""Schemas within each other, by their place or by reference."""
_IN_PLACE: Final = ("not", "if", "then", "else")
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_UNEVALUATED: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_OF_OTHER_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
_OF_OTHER_ITEMS: Final = ("items", "unevaluatedItems")
_AGAIN: Final = 3
"""For each of these the schemas beside it are looked at anew; measured."""
_ENDLESS: Final = 10**12


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks that a schema makes.

    Attributes:
        here: at the place that it is for.
        below: at the place below that is looked at most.
        depth: schemas within each other.
    """

    here: int = 0
    below: int = 0
    depth: int = 0

    @property
    def most(self) -> int:
        """At any one place."""
        return max(self.here, self.below)


class TooDeep(Exception):
    """Schemas lie too deep within each other."""


def looks_of(root: Any) -> Looks:
    """The looks of a schema.

    Raises:
        TooDeep: its parts, or its references, lie too deep within each other.
    """
    return _Counting(root).of(root, 0)


def at(root: Any, target: str) -> Any:
    """What a pointer such as `#/$defs/task` names; None where there is nothing, of which the
    library tells."""
    found = root
    for part in unquote(target).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdigit() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found


class _Counting:
    """Counts each schema once, however often others refer to it."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._anchors: dict[str, list[Any]] = {}
        for name, part in _anchors(root):
            self._anchors.setdefault(f"#{name}", []).append(part)
        self._done: dict[int, Looks] = {}
        self._above: set[int] = set()

    def of(self, schema: Any, level: int) -> Looks:
        """The looks of one part, which lies that deep; none of what is not there, or lies around
        it."""
        if not isinstance(schema, dict):
            return Looks(here=int(schema is not None))
        name = id(schema)
        if name in self._above:
            return Looks()
        if name not in self._done:
            self._above.add(name)
            self._done[name] = self._counted(schema, level + 1)
            self._above.discard(name)
        return self._done[name]

    def _counted(self, schema: dict[str, Any], level: int) -> Looks:
        if level > MOST_DEEP:
            raise TooDeep
        beside = [self.of(part, level) for part in self._beside(schema)]
        below = self._below(schema, level)
        again = _AGAIN ** len(_UNEVALUATED & schema.keys())
        here = 1 + again * sum(each.here for each in beside)
        beneath = below.most + again * sum(each.below for each in beside)
        depth = 1 + max(below.depth, *(each.depth for each in beside), 0)
        if depth > MOST_DEEP:
            raise TooDeep
        return Looks(min(here, _ENDLESS), min(beneath, _ENDLESS), depth)

    def _beside(self, schema: dict[str, Any]) -> Iterator[Any]:
        """What applies to the same place."""
        for name in ("$ref", "$dynamicRef"):
            if isinstance(target := schema.get(name), str):
                yield from self._anchors.get(target, [at(self._root, target)])
        for name in _IN_PLACE:
            yield schema.get(name)
        for name in _IN_PLACE_LISTS:
            yield from _listed(schema.get(name))
        yield from _named(schema.get("dependentSchemas"))

    def _below(self, schema: dict[str, Any], level: int) -> Looks:
        """What applies to the members, and to the items: of a member's schema, or that of all
        others, one does."""

        def counted(parts: Iterable[Any]) -> list[Looks]:
            return [self.of(part, level) for part in parts]

        either = (
            counted([*_named(schema.get("properties")), *map(schema.get, _OF_OTHER_MEMBERS)]),
            counted([*_listed(schema.get("prefixItems")), *map(schema.get, _OF_OTHER_ITEMS)]),
        )
        all_of = (
            counted([*_named(schema.get("patternProperties")), schema.get("propertyNames")]),
            counted([schema.get("contains")]),
        )
        most = max(
            max(each.most for each in one) + sum(each.most for each in every)
            for one, every in zip(either, all_of, strict=True)
        )
        every = [each for parts in (*either, *all_of) for each in parts]
        return Looks(below=most, depth=max(each.depth for each in every))


def _listed(parts: Any) -> list[Any]:
    return parts if isinstance(parts, list) else []


def _named(parts: Any) -> list[Any]:
    return [*parts.values()] if isinstance(parts, dict) else []


def _anchors(root: Any) -> Iterator[tuple[str, Any]]:
    """Whatever has a name that a reference may say."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for name in ("$anchor", "$dynamicAnchor"):
                if isinstance(anchor := part.get(name), str):
                    yield anchor, part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
