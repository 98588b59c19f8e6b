"""What of a person is exported: every collection that the table of relations hangs off them, and
of each document what is theirs and no secret."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from models.app_data import AppData
from models.base import Raw, Stored, stored_name
from models.phone_otp import PhoneOtp
from models.relations import RELATIONS, Insert, OnDelete, Relation, Relations, children_of
from models.user import User
from models.values import unescape_refs, unescape_row

LEFT_OUT: Final[dict[type[Stored], str]] = {
    PhoneOtp: "codes that are under way: gone within minutes, and their ids are half a secret",
}
"""Collections that hang off a person and are not exported, each with its reason."""
INTERNAL: Final = frozenset(
    {"guard", "revision_id", "escaped", "query_keys", "mutations", "set_aside_until"}
    | {"changed_at", "horizon", "sync_fence", "running", "version_floor"}
)
"""Fields by which the server works, and which say nothing of the person."""


@dataclass(frozen=True, slots=True)
class Part:
    """The documents of one collection that hang off a person by one field."""

    relation: Relation

    @property
    def document(self) -> type[Stored]:
        """Their class."""
        return self.relation.child

    @property
    def kind(self) -> str:
        """Their collection."""
        return self.document.collection_name()

    def where(self, user_id: ObjectId) -> Raw:
        """Their filter."""
        return {self.relation.stored: user_id}

    def shown(self, row: Raw, user_id: ObjectId) -> Raw:
        """What of one is exported; of a list that has other people as well, their own items."""
        found = shown(self.document, row, user_id)
        if self.relation.on_delete is OnDelete.PULL:
            items, _, name = self.relation.stored.partition(".")
            found[items] = [each for each in found[items] if each[name] == user_id]
        return found


def parts_of(relations: Relations = RELATIONS) -> list[Part]:
    """What hangs off a person, that which may be much last."""
    own = [each for each in children_of(User, relations) if each.child not in LEFT_OUT]
    ordered = sorted(own, key=lambda each: each.insert is Insert.HOT)
    return [Part(each) for each in ordered]


def unreached(relations: Relations = RELATIONS) -> set[str]:
    """Collections that go with a person's documents and name the person by no field of their own:
    they would be missing."""
    direct = {each.child for each in children_of(User, relations)}
    below, waiting = set[str](), list(direct)
    while waiting:
        for relation in children_of(waiting.pop(), relations):
            child = relation.child
            is_owned = relation.on_delete is OnDelete.CASCADE and _is_theirs(relation, relations)
            if is_owned and child not in direct and child.collection_name() not in below:
                below.add(child.collection_name())
                waiting.append(child)
    return below


def _is_theirs(relation: Relation, relations: Relations) -> bool:
    """Whether the parent of a relation goes with its person, and is not only shared with them."""
    return any(
        each.parent is User and each.on_delete is OnDelete.CASCADE
        for each in relations
        if each.child is relation.parent
    )


@cache
def fields_of(document: type[Stored]) -> Mapping[str, int]:
    """The stored fields that are read: no secret is, so none can be sent."""
    kept = document.model_fields.keys() - secrets_of(document) - INTERNAL
    return {stored_name(field): 1 for field in document.model_fields if field in kept}


def secrets_of(document: type[Stored]) -> set[str]:
    """The attributes of a document that no export has: marked as secrets, or sealed."""
    hidden = {name for name, info in document.model_fields.items() if info.repr is False}
    return hidden | set(getattr(document, "SEALED", ()))


def projection(document: type[Stored]) -> dict[str, int]:
    """What is read of each document."""
    escaped = {"escaped": 1} if document is AppData else {}
    return {**fields_of(document), **escaped}  # type: ignore[arg-type]  # a class is hashable


def shown(document: type[Stored], row: Raw, user_id: ObjectId) -> Raw:
    """A stored document as it is exported."""
    found = _values(row, user_id) if document is AppData else unescape_row(row)
    found["id"] = found.pop("_id")
    return dict(_plain(found))


def _values(row: Raw, user_id: ObjectId) -> Raw:
    """A row of app data, with values as they were sent; who else has written is nobody's matter."""
    found = {**row, "changedBy": _writer(row.get("changedBy", ""), user_id)}
    if found.pop("escaped", False) and "value" in found:
        found["value"] = unescape_refs(found["value"])
    if "history" in found:
        found["history"] = [_former(each, user_id) for each in found["history"]]
    return found


def _former(version: Mapping[str, Any], user_id: ObjectId) -> Raw:
    kept = {name: each for name, each in version.items() if name != "escaped"}
    if version.get("escaped") and "value" in kept:
        kept["value"] = unescape_refs(kept["value"])
    return kept | {"by": _writer(version.get("by", ""), user_id)}


def _writer(name: str, user_id: ObjectId) -> str:
    return "user" if name.startswith("user:") and name != f"user:{user_id}" else name


def _plain(row: Raw) -> Iterator[tuple[str, Any]]:
    """The fields without the database's own kinds of number and time, of which JSON has none."""
    for name, value in row.items():
        if not isinstance(value, (ClusterTime, bytes)):
            yield name, value
