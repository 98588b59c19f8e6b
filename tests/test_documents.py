"""What is promised of every document: its class is listed, its references are relations, and its
relations have indexes."""

import importlib
import inspect
import pkgutil

import models
from app.work import HOOKS
from indexes.definitions import INDEXES
from models import DOCUMENTS
from models.base import Stored
from models.checked import Checked
from models.day import DayOfApp
from models.owned import OneToOne, OwnedByUser
from models.relations import EXEMPT, RELATIONS, Insert, OnMerge
from models.user import User

_BASES = {Stored, OwnedByUser, OneToOne, DayOfApp, Checked}


def test_every_document_class_is_in_documents() -> None:
    modules = [
        importlib.import_module(f"models.{info.name}")
        for info in pkgutil.iter_modules(models.__path__)
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Stored)
    }
    assert {each.__name__ for each in classes - _BASES} == {each.__name__ for each in DOCUMENTS}


def test_every_reference_has_a_relation_or_a_reason() -> None:
    fields = {
        (document.collection_name(), name)
        for document in DOCUMENTS
        for name in document.model_fields
        if name.endswith("_id") and name != "revision_id"
    }
    related = {
        (relation.child.collection_name(), relation.field)
        for relation in RELATIONS
        if "." not in relation.field
    }
    assert fields == related | EXEMPT.keys()
    assert related & EXEMPT.keys() == set()
    assert all(reason for reason in EXEMPT.values())


def test_every_relation_names_a_field_and_has_an_index_to_find_children_by() -> None:
    for relation in RELATIONS:
        assert relation.field.split(".")[0] in relation.child.model_fields
        leading = [
            next(iter(index.keys))
            for index in INDEXES[relation.child]
            if "partialFilterExpression" not in index.options
        ]
        assert relation.stored in leading, (
            f"{relation.child.__name__}.{relation.field} has no index"
        )


def test_one_to_one_relations_are_unique() -> None:
    for relation in RELATIONS:
        unique = any(
            dict(i.keys) == {relation.stored: 1} and i.options.get("unique")
            for i in INDEXES[relation.child]
        )
        assert unique == relation.one_to_one


def test_what_two_people_cannot_both_have_says_how_a_merge_makes_it_one() -> None:
    """Of a reference that is part of a unique index: moved, it could meet the target's own."""
    silent = [
        relation.label
        for relation in RELATIONS
        if relation.parent is User
        and relation.merge not in (OnMerge.DROP, OnMerge.FIELDS)
        and relation.child not in HOOKS.moving
        and any(
            relation.stored in index.keys and index.options.get("unique")
            for index in INDEXES[relation.child]
        )
    ]
    assert silent == [], "`merge=` in models/relations.py, or `moving` in a deletion.py"


def test_hot_inserts_are_those_of_the_design() -> None:
    hot = {
        relation.child.collection_name() for relation in RELATIONS if relation.insert is Insert.HOT
    }
    assert hot == {"activities", "appdata", "analytics"}
