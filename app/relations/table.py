"""The table of relations, checked when the program starts: a line that cannot be kept ends it
there."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from indexes.definitions import INDEXES
from indexes.index import Index
from models.base import Stored, stored_name
from models.relations import RELATIONS, Insert, OnDelete, Relation, Relations, references_of

Indexes = Mapping[type[Stored], Sequence[Index]]


class RelationError(Exception):
    """The table of relations contradicts the documents or the indexes."""


def check(relations: Relations = RELATIONS, indexes: Indexes = INDEXES) -> None:
    """See that every relation can be kept.

    Raises:
        RelationError: naming each relation and what is wrong with it: an unknown field, a missing
            index, a policy that contradicts nullability, a tenant that is not there, a guard that
            the parent lacks, a restriction that a deletion further up could meet half way.
    """
    faults = [
        f"{relation.label}: {fault}"
        for relation in relations
        for fault in _faults(relation, relations, indexes)
    ]
    if faults:
        raise RelationError("models/relations.py: " + "; ".join(faults))


def _faults(relation: Relation, relations: Relations, indexes: Indexes) -> list[str]:
    faults = []
    first, _, rest = relation.field.partition(".")
    if first not in relation.child.model_fields:
        return [f"{relation.child.__name__} has no field {first}"]
    if bool(rest) != (relation.on_delete is OnDelete.PULL):
        faults.append("PULL is for the items of a list, and nothing else is")
    nulls = relation.on_delete is OnDelete.SET_NULL or (
        relation.on_delete is OnDelete.RESTRICT and relation.when
    )
    if nulls and not is_nullable(relation.child, first):
        faults.append(
            f"{relation.on_delete.value} takes the reference away, and {first} may not be null"
        )
    if relation.when and relation.on_delete is not OnDelete.RESTRICT:
        faults.append("`when` is a condition of RESTRICT")
    if relation.companion and not nulls:
        faults.append("`companion` goes with taking the reference away")
    for name in (*relation.when, *relation.companion):
        if name not in {stored_name(field) for field in relation.child.model_fields}:
            faults.append(f"{relation.child.__name__} stores no {name}")
    if relation.tenant is not None:
        faults += [
            f"{document.__name__} has no tenant {relation.tenant}"
            for document in (relation.child, relation.parent)
            if relation.tenant not in document.model_fields
        ]
    if not _is_indexed(relation, indexes):
        faults.append("no index begins with it: add one in indexes/definitions.py")
    if relation.insert is Insert.COLD and "guard" not in relation.parent.model_fields:
        faults.append(f"{relation.parent.__name__} has no field guard for its children to count up")
    if relation.on_delete is OnDelete.RESTRICT:
        faults += [
            f"could be met half way by deleting {root.__name__}"
            for root in _uncovered(relation, relations)
        ]
    return faults


def is_nullable(document: type[Stored], field: str) -> bool:
    """Whether a field may be absent."""
    return NoneType in get_args(document.model_fields[field].annotation)


def _is_indexed(relation: Relation, indexes: Indexes) -> bool:
    return any(
        next(iter(index.keys)) == relation.stored and _finds_all(index.options, relation.stored)
        for index in indexes.get(relation.child, ())
    )


def _finds_all(options: Mapping[str, Any], field: str) -> bool:
    """Whether an index has every document whose field holds an id: it leaves out those alone where
    it is absent."""
    partial = options.get("partialFilterExpression")
    return partial is None or partial == {field: {"$exists": True}}


def _uncovered(relation: Relation, relations: Relations) -> list[type[Stored]]:
    """Roots whose deletion takes the parent of a RESTRICT without being sure to take its child as
    well.

    It is sure where child and parent have the root for their tenant, and the child goes with its
    tenant.
    """
    roots, wave = set(), [relation.parent]
    while wave:
        for above in references_of(wave.pop(), relations):
            if above.on_delete is OnDelete.CASCADE and above.parent not in roots:
                roots.add(above.parent)
                wave.append(above.parent)
    covered = {
        other.parent
        for other in references_of(relation.child, relations)
        if other.on_delete is OnDelete.CASCADE and other.field == relation.tenant
    }
    return sorted(roots - covered - {relation.parent}, key=lambda root: root.__name__)
