"""How jobs, relations and indexes are shown to admins."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from models.base import Fields, Timestamp
from models.relations import RELATIONS

Text = Annotated[str, BeforeValidator(str)]


class JobView(Fields):
    """A background job."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: Text
    kind: str
    state: Literal["due", "done"]
    run_at: Timestamp
    every_seconds: float | None = None
    leased_by: str | None = None
    leased_until: Timestamp | None = None
    attempts: int
    progress: dict[str, Any]
    last_run_at: Timestamp | None = None
    last_error: str | None = None


class RelationView(Fields):
    """A line of the relations table."""

    child: str
    field: str
    parent: str
    on_delete: str
    insert: str
    one_to_one: bool


class IndexReport(Fields):
    """How the database's indexes differ from the table, a line each."""

    drift: list[str]


def relation_views() -> list[RelationView]:
    """The table of relations, as stored names."""
    return [
        RelationView(
            child=relation.child.collection_name(),
            field=relation.stored,
            parent=relation.parent.collection_name(),
            on_delete=relation.on_delete.value,
            insert=relation.insert.value,
            one_to_one=relation.one_to_one,
        )
        for relation in RELATIONS
    ]
