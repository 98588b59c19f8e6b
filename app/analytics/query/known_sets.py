"""Sets of people that an application has read before, decoded, as long as the document says that
they are the same.

Past days seldom change, so a dashboard's second look reads which documents there are, from an index
alone, and none of
their sets. Exact: each write of a people document gives it a stamp that no other ever had, and the
    stamps are read in
the query's own snapshot.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from cachetools import LRUCache
from pyroaring import BitMap

MOST_BYTES: Final = 64 * 1024 * 1024
_A_SET: Final = 200
_A_DOCUMENT: Final = 700
"""What a remembered document with one small set takes besides its name, in bytes, measured:
dictionaries, the stamp."""


@dataclass(slots=True)
class _Known:
    """One document's sets by slot group; those that are known to be empty too."""

    stamp: ObjectId
    sets: dict[int, BitMap]
    size: int


class KnownSets:
    """Sets by document, those that were asked for least recently are forgotten first.

    Args:
        most_bytes: how much is remembered, in bytes: packed sets, 200 for each, 700 and its name
            for each document.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._known: LRUCache[str, _Known] = LRUCache(most_bytes, lambda known: known.size)

    @property
    def size(self) -> int:
        """How many bytes are remembered."""
        return int(self._known.currsize)

    def find(
        self, name: str, stamp: ObjectId | None, groups: Iterable[int]
    ) -> Mapping[int, BitMap] | None:
        """The sets of a document, if all of these groups are known as of this stamp. They must not
        be changed."""
        known = self._known.get(name)
        if known is None or known.stamp != stamp or not known.sets.keys() >= set(groups):
            return None
        return known.sets

    def keep(
        self, name: str, stamp: ObjectId | None, packed: Mapping[int, bytes]
    ) -> Mapping[int, BitMap]:
        """Decode sets, and remember them where the document has a stamp; an empty one is `b""`."""
        sets = {
            group: BitMap.deserialize(each) if each else BitMap() for group, each in packed.items()
        }
        if stamp is None:
            return sets
        size = added = sum(len(each) + _A_SET for each in packed.values())
        size += _A_DOCUMENT + len(name)
        former = self._known.pop(name, None)
        if former is not None and former.stamp == stamp:
            # what is in both counts twice: rather too much than too little
            sets, size = former.sets | sets, former.size + added
        if size <= self.most_bytes:
            self._known[name] = _Known(stamp, sets, size)
        return sets

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()


def known_sets(scope: Any) -> KnownSets:
    """The sets that the application which serves this request knows."""
    found: KnownSets = scope["app"].state.known_sets
    return found
