"""What a document refers to and what refers to it, by the table of relations, and how a query
reads it along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from models.base import Raw, Stored
from models.relations import RELATIONS, Relation, Relations, children_of, references_of

MOST: Final = 20
"""How many of what there may be many of are read along, the newest."""


@dataclass(frozen=True, slots=True)
class Link:
    """One line of the table, seen from one of its ends.

    Attributes:
        relation: the line.
        is_parent: whether the other end is the parent.
    """

    relation: Relation
    is_parent: bool

    @property
    def other(self) -> type[Stored]:
        """The document at the other end."""
        return self.relation.parent if self.is_parent else self.relation.child

    @property
    def is_many(self) -> bool:
        """Whether there may be several at the other end."""
        return not self.is_parent and not self.relation.one_to_one

    def lookup(
        self, under: str, beside: Sequence[Raw] = (), within: Mapping[str, Any] | None = None
    ) -> Raw:
        """The stage that reads the other end along.

        Args:
            under: the field in which it is then, as a list.
            beside: stages for what is read along of it in turn.
            within: a filter on what is read of what there may be many of.
        """
        ends = (self.relation.stored, "_id") if self.is_parent else ("_id", self.relation.stored)
        stage: Raw = {"from": self.other.collection_name(), "localField": ends[0]}
        stage |= {"foreignField": ends[1], "as": under}
        newest: list[Raw] = [{"$sort": {"_id": -1}}, {"$limit": MOST}] if self.is_many else []
        if pipeline := [*([{"$match": dict(within)}] if within else []), *newest, *beside]:
            stage["pipeline"] = pipeline
        return {"$lookup": stage}


def links_of(document: type[Stored], relations: Relations = RELATIONS) -> dict[str, Link]:
    """What a document may be read along with, by the name that `expand=` has for it: `account` by
    `accountId`, `profile` for what is one to one, `cards` for what there may be many of."""
    below = {_name_of(each): Link(each, False) for each in children_of(document, relations)}
    above = {
        each.stored.removesuffix("Id"): Link(each, True)
        for each in references_of(document, relations)
        if "." not in each.stored
    }
    return {**below, **above}


def _name_of(relation: Relation) -> str:
    if not relation.one_to_one:
        return relation.child.collection_name()
    name = relation.child.__name__
    return name[0].lower() + name[1:]
