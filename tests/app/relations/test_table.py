"""A line of the table that cannot be kept ends the program at its start, and says which line and
why."""

from dataclasses import replace

import pytest

from app.main import create_app
from app.relations import table
from app.relations.table import RelationError, check
from app.settings import Settings
from models.relations import CASCADE, PULL, RELATIONS, RESTRICT, SET_NULL, Insert, Relation
from tests.app.relations import toys
from tests.app.relations.toys import Club, Group, Note, Person, Pin, Town


def test_the_tables_hold() -> None:
    check()
    check(toys.RELATIONS, toys.INDEXES)


KEY = next(relation for relation in toys.RELATIONS if relation.label == "toykeys.personId")


@pytest.mark.parametrize(
    ("relation", "fault"),
    [
        (
            Relation(Note, "nobody_id", Person, CASCADE),
            "toynotes.nobodyId: Note has no field nobody_id",
        ),
        (Relation(Note, "created_at", Person, CASCADE), "no index begins with it"),
        (Relation(Pin, "person_id", Person, SET_NULL), "person_id may not be null"),
        (replace(KEY, child=Pin), "person_id may not be null"),
        (replace(KEY, companion={"colour": "red"}), "Key stores no colour"),
        (replace(KEY, when={"state": "open"}), "Key stores no state"),
        (replace(KEY, tenant="country_id"), "Person has no tenant country_id"),
        (replace(KEY, tenant=None), "could be met half way by deleting Town"),
        (
            Relation(Group, "town_id", Town, CASCADE, companion={"version": 1}),
            "`companion` goes with",
        ),
        (
            Relation(Group, "town_id", Town, CASCADE, when={"version": 1}),
            "`when` is a condition of RESTRICT",
        ),
        (Relation(Club, "members.person_id", Person, SET_NULL), "PULL is for the items of a list"),
        (Relation(Note, "person_id", Person, PULL), "PULL is for the items of a list"),
        (Relation(Note, "person_id", Pin, RESTRICT), "Pin has no field guard"),
    ],
)
def test_a_line_that_cannot_be_kept_is_named(relation: Relation, fault: str) -> None:
    others = tuple(each for each in toys.RELATIONS if each.label != relation.label)
    with pytest.raises(RelationError) as refused:
        check((*others, relation), toys.INDEXES)
    assert fault in str(refused.value)
    assert relation.label in str(refused.value)


def test_the_program_does_not_start_with_such_a_line(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(RELATIONS[0], field="nobody_id")
    monkeypatch.setattr(table.check, "__defaults__", ((broken,), toys.INDEXES))
    with pytest.raises(RelationError):
        create_app(base_settings)


def test_hot_inserts_need_no_guard() -> None:
    notes = Relation(Note, "person_id", Pin, CASCADE, Insert.HOT)
    check((notes,), toys.INDEXES)
