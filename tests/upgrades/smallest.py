"""The smallest document of a class: what its model asks for, below parents that are there."""

import types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bson import ObjectId
from pydantic import BaseModel, ValidationError

from models.base import Stored, now, stored_name
from models.relations import RELATIONS
from models.sealed import Sealed
from tests.factories.bodies import EXAMPLES

Raw = dict[str, Any]
PLAIN: Mapping[Any, Any] = {str: "text", int: 1, float: 1.0, bool: False, bytes: b"bytes", Any: 1}
GIVEN: Mapping[str, Any] = {
    "app_id": "notes",
    "email": "b@example.com",
    "phone_number": "+14155550123",
    "currency": "USD",
    "date": "2026-11-20",
    "last_four": "4242",
    "country": "US",
    "scopes": ["data:read"],
}
"""By the name of a field, where not every text will do."""


def smallest(
    document: type[Stored], first_of: Mapping[str, Any], shown: Mapping[str, Any] | None = None
) -> Raw:
    """A row of a collection.

    Args:
        document: the class.
        first_of: the id of a document of each collection that has one already.
        shown: stored names and what the examples of the API show of them, for fields that ask for
            more than their type; None: as the examples do.
    """
    parents = {
        relation.field: first_of[relation.parent.collection_name()]
        for relation in RELATIONS
        if relation.child is document and "." not in relation.field
        and relation.parent.collection_name() in first_of
    }  # fmt: skip
    fields = {
        name: parents.get(name, GIVEN.get(name, value_of(field.annotation)))
        for name, field in document.model_fields.items()
        if name in parents or field.is_required()
    }
    try:
        return document(**fields).stored()
    except ValidationError as error:
        odd = {stored_name(str(each["loc"][0])) for each in error.errors()}
        examples = in_examples() if shown is None else shown
        given = {name: examples[alias] for name in fields if (alias := stored_name(name)) in odd}
        return document(**fields | given).stored()


def in_examples() -> Raw:
    """What bodies' examples show, by the names of fields."""
    bodies = [body for body in EXAMPLES.values() if isinstance(body, dict)]
    return {name: value for body in reversed(bodies) for name, value in body.items()}


def value_of(kind: Any) -> Any:
    """Something of a type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return value_of(parts[0])
    if origin in (Union, types.UnionType):
        return value_of(next(part for part in parts if part is not type(None)))
    if origin is Literal:
        return parts[0]
    if origin in (list, tuple, set, frozenset):
        return origin([value_of(parts[0])]) if parts else origin()
    if origin is not None:
        return {}
    return _of_class(kind)


def _of_class(kind: Any) -> Any:
    if kind in PLAIN:
        return PLAIN[kind]
    if issubclass(kind, Enum):
        return next(iter(kind))
    if issubclass(kind, datetime):
        return now()
    if issubclass(kind, ObjectId):
        return ObjectId()
    if issubclass(kind, Sealed):
        return Sealed({"v": 1, "k": "k1", "n": b"n" * 12, "c": b"c" * 32})
    if issubclass(kind, BaseModel):
        required = {name: each for name, each in kind.model_fields.items() if each.is_required()}
        return kind(**{
            name: GIVEN.get(name, value_of(each.annotation)) for name, each in required.items()
        })  # fmt: skip
    return {} if issubclass(kind, Mapping) else kind()
