"""What hangs off a person, by the table of relations: how much of each kind, and the rows
themselves, without secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from app.errors import NotFound
from indexes.definitions import INDEXES
from models.base import Raw, Stored, rfc3339, stored_name
from models.relations import Relation, children_of
from models.user import User
from models.values import unescape_row

MOST_COUNTED: Final = 1000
_TIMES: Final = ("timestamp", "_id")


@dataclass(frozen=True, slots=True)
class Kind:
    """One relation to a person, and how many rows have it; `more` where counting was stopped."""

    relation: Relation
    count: int
    more: bool

    @property
    def name(self) -> str:
        """The collection."""
        return self.relation.child.collection_name()

    @property
    def title(self) -> str:
        """What one of them is called."""
        return self.relation.child.noun()


async def count_hanging(user_id: ObjectId) -> list[Kind]:
    """How much of each kind hangs off a person, in the order of the table."""
    found = []
    for relation in children_of(User):
        where = {relation.stored: user_id}
        count = await relation.child.raw().count_documents(where, limit=MOST_COUNTED + 1)
        found.append(Kind(relation, min(count, MOST_COUNTED), count > MOST_COUNTED))
    return found


def relation_named(name: str) -> Relation:
    """The relation to a person of a collection's name.

    Raises:
        NotFound: there is none.
    """
    for relation in children_of(User):
        if relation.child.collection_name() == name:
            return relation
    raise NotFound("nothing of that kind hangs off a person")


async def rows_of(relation: Relation, user_id: ObjectId, skipped: int, limit: int) -> list[Raw]:
    """Rows that hang off a person, the newest first where an index tells; their secrets left out.

    Args:
        relation: of which kind.
        user_id: off whom.
        skipped: how many come before.
        limit: how many at most.
    """
    query = relation.child.raw().find({relation.stored: user_id})
    if order := _order(relation):
        query = query.sort(order)
    rows = await query.skip(skipped).limit(limit).to_list()
    return [shown(relation.child, row) for row in rows]


def _order(relation: Relation) -> list[tuple[str, int]]:
    """The order of an index that tells when a row came; none where there is no such index."""
    for index in INDEXES[relation.child]:
        first, *rest = index.keys
        if first == relation.stored and rest and set(rest) <= {*_TIMES}:
            return [(name, -1) for name in rest]
    return []


def secrets_of(document: type[Stored]) -> set[str]:
    """The stored fields of a document that nobody is shown: sealed ones, and those that `repr`
    leaves out."""
    hidden = {name for name, field in document.model_fields.items() if not field.repr}
    return {stored_name(name) for name in (*hidden, *getattr(document, "SEALED", ()))}


def shown(document: type[Stored], row: Raw) -> Raw:
    """A stored row as it is shown: its fields by stored name, without its secrets."""
    secret = secrets_of(document)
    return {name: _plain(value) for name, value in unescape_row(row).items() if name not in secret}


def _plain(value: Any) -> Any:
    """A stored value as JSON has it; of bytes their number."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value if isinstance(value, str | int | float | None) else str(value)
