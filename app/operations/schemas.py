"""How jobs, relations and indexes are shown to admins."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from app.relations.table import is_nullable
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
    leased_until: Annotated[
        Timestamp | None,
        Field(description="Until then no other worker takes it, even if its own has died."),
    ] = None
    taken_from: Annotated[
        str | None, Field(description="The worker whose lease ran out before it was done.")
    ] = None
    attempts: int
    progress: dict[str, Any]
    last_run_at: Timestamp | None = None
    last_error: Annotated[str | None, Field(description="Why it failed, in a sentence.")] = None


class RelationView(Fields):
    """A line of the relations table."""

    child: str
    field: str
    parent: str
    on_delete: str
    insert: str
    one_to_one: bool
    nullable: bool
    tenant: str | None
    restricted_while: Annotated[
        dict[str, Any], Field(description="RESTRICT only: outside this it is SET_NULL.")
    ]
    companion: Annotated[
        dict[str, Any], Field(description="What is set together with taking the reference away.")
    ]


class ScanView(Fields):
    """What the last look at one relation, or at the rows of one collection, found."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: Annotated[
        str,
        Field(
            description=(
                "The relation, such as `cards.userId`; a collection whose rows were read:"
                " `cardqueues`; `deletions.living`; `deletions.into` and `personmerges.into`:"
                " merges, followed to their ends."
            )
        ),
    ]
    state: Literal["running", "done"]
    started_at: Timestamp
    finished_at: Timestamp | None = None
    scanned: int
    orphans: Annotated[int, Field(description="Documents whose parent is not there.")]
    mismatches: Annotated[int, Field(description="Documents whose parent is of another tenant.")]
    pending: Annotated[
        int, Field(description="Documents of a deleted parent that a sweep will still come to.")
    ]
    unreadable: Annotated[
        int,
        Field(
            description=(
                "Rows that this version cannot read: the worker steps over them; merges that lead"
                " in a circle."
            )
        ),
    ]
    living: Annotated[int, Field(description="Documents that are there though deleted.")]
    samples: Annotated[
        list[dict[str, Any]], Field(description="The first faults: `kind`, `id`, `parentId`.")
    ]


class IntegrityReport(Fields):
    """The last result of `python -m scripts integrity check`, a line for each relation and each
    collection of rows."""

    scans: list[ScanView]


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
            nullable=is_nullable(relation.child, relation.field.partition(".")[0]),
            tenant=relation.stored_tenant,
            restricted_while=dict(relation.when),
            companion=dict(relation.companion),
        )
        for relation in RELATIONS
    ]
