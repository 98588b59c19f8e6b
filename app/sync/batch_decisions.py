"""What becomes of each write of a batch, given what is stored: decided here, and done by whoever
asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.apps.json_schemas import Schemas
from app.errors import Invalid, PatchTestFailed, Problem, TooLarge
from app.sync.batch_body import FieldErrors, Item, Kind
from app.web.body import check_storable, dump_json
from app.web.patches import PatchKind, apply_patch
from models.app_data_batch import Pinned
from models.app_data_updates import NEVER, Expiry
from models.base import Raw
from models.values import Json

_PATCHES: Final = {Kind.MERGE: PatchKind.MERGE, Kind.PATCH: PatchKind.PATCH}


class Status(StrEnum):
    """What became of a write."""

    STORED = "stored"
    CONFLICT = "conflict"
    INVALID = "invalid"
    NOT_APPLIED = "notApplied"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one write.

    Attributes:
        item: the write.
        status: what it is answered with, once `write` is done.
        write: what is to be done, None for nothing.
        shown: further members of the answer.
        errors: why it cannot be stored.
    """

    item: Item
    status: Status
    write: Pinned | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    errors: FieldErrors = field(default_factory=list)

    @property
    def tells_current(self) -> bool:
        """Whether the answer has what is stored."""
        return self.status in (Status.CONFLICT, Status.INVALID)


def decide(
    item: Item, row: Raw | None, moment: datetime, schemas: Schemas | None = None
) -> Decision:
    """What becomes of a write.

    Args:
        item: the write.
        row: what is stored, a tombstone too, by `read_rows`; None where nothing ever was.
        moment: now.
        schemas: what values must fit.
    """
    try:
        decision = _decide(item, row, moment)
        if schemas is not None and decision.write is not None and not decision.write.deletes:
            schemas.check(item.data_key, decision.write.value)
    except PatchTestFailed as problem:
        return Decision(item, Status.CONFLICT, errors=_placed(item, problem))
    except (Invalid, TooLarge) as problem:
        return Decision(item, Status.INVALID, errors=_placed(item, problem))
    return decision


def _decide(item: Item, row: Raw | None, moment: datetime) -> Decision:
    """What becomes of a write; raises the problem of its patch."""
    if item.errors:
        return Decision(item, Status.INVALID, errors=item.errors)
    if (version := _made_before(item, row)) is not None:
        return Decision(
            item,
            Status.STORED,
            shown=_deleted(version) if item.kind is Kind.DELETE else _made(version),
        )
    live = is_live(row, moment)
    if not _holds(item, row, live):
        return Decision(item, Status.CONFLICT)
    if item.kind is Kind.DELETE:
        return _delete(item, row, moment)
    if item.kind is Kind.PUT:
        expires_at = None if item.ttl is None else moment + item.ttl
        return _store(item, row, live, moment, (item.content, item.size, expires_at))
    return (
        _patch(item, row, moment) if row is not None and live else Decision(item, Status.CONFLICT)
    )


def is_live(row: Raw | None, moment: datetime) -> bool:
    """Whether a row is a value: neither a tombstone nor over."""
    return row is not None and not row["deleted"] and bool(row.get("expiresAt", NEVER) > moment)


def _made(version: int) -> dict[str, Any]:
    return {"version": version}


def _deleted(version: int) -> dict[str, Any]:
    return {"version": version, "deleted": True}


def _made_before(item: Item, row: Raw | None) -> int | None:
    """The version that this very write made before, by its `mutationId`."""
    if item.mutation_id is None or row is None:
        return None
    made = (each["version"] for each in row.get("mutations", ()) if each["id"] == item.mutation_id)
    return next(made, None)


def _holds(item: Item, row: Raw | None, live: bool) -> bool:
    """Whether `ifVersion` holds. What is deleted can always be deleted."""
    if item.if_version is None or (item.kind is Kind.DELETE and not live):
        return True
    if item.if_version == 0:
        return not live
    return row is not None and bool(row["version"] == item.if_version)


def _delete(item: Item, row: Raw | None, moment: datetime) -> Decision:
    """A tombstone, unless there is one; a write with a `mutationId` leaves its mark in any case."""
    is_there = row is not None and not row["deleted"]
    if not is_there and item.mutation_id is None:
        return Decision(item, Status.STORED, shown=_deleted(0 if row is None else row["version"]))
    write = Pinned(item.data_key, row, is_there, moment, deletes=True, mutation_id=item.mutation_id)
    return Decision(item, Status.STORED, write, {**_deleted(write.version), "updatedAt": moment})


def _patch(item: Item, row: Raw, moment: datetime) -> Decision:
    if "value" not in row:
        return Decision(item, Status.NOT_APPLIED)
    value: Json = apply_patch(_PATCHES[item.kind], item.content, row["value"])
    body = check_storable(value)
    if item.ttl is None and item.mutation_id is None and body == dump_json(row["value"]):
        return Decision(
            item, Status.STORED, shown=_envelope(row, row["version"], row["updatedAt"], value)
        )
    expires_at = Expiry.KEEP if item.ttl is None else moment + item.ttl
    return _store(item, row, True, moment, (value, len(body), expires_at))


def _placed(item: Item, problem: Problem) -> FieldErrors:
    """What is wrong, by its place in the batch: in the value; in the operation of a patch, else the
    patch."""
    place = f"{item.pointer}/{item.kind.value}"
    if isinstance(problem, TooLarge):
        return [{"pointer": place, "code": "too_long", "detail": str(problem)}]
    return [
        {**error, "pointer": _place_of(item, place, error["pointer"])} for error in problem.errors
    ]


def _place_of(item: Item, place: str, pointer: str) -> str:
    if item.kind is Kind.PUT:
        return place + pointer
    index = pointer.split("/")[1] if "/" in pointer else ""
    operations = item.content if item.kind is Kind.PATCH and isinstance(item.content, list) else []
    return place + pointer if index.isdigit() and int(index) < len(operations) else place


def _store(
    item: Item,
    row: Raw | None,
    live: bool,
    moment: datetime,
    what: tuple[Json, int, datetime | Expiry | None],
) -> Decision:
    """The decision to store a value, its size and its expiry."""
    write = Pinned(item.data_key, row, live, moment, False, *what, mutation_id=item.mutation_id)
    kept = (write.row or {}).get("expiresAt")
    shown = {"createdAt": write.row["createdAt"] if write.row and write.live else write.moment}
    if expires_at := kept if write.expires_at is Expiry.KEEP else write.expires_at:
        shown["expiresAt"] = expires_at
    return Decision(
        item, Status.STORED, write, _envelope(shown, write.version, write.moment, write.value)
    )


def _envelope(
    row: Mapping[str, Any], version: int, changed: datetime, value: Json
) -> dict[str, Any]:
    times = {"createdAt": row["createdAt"], "updatedAt": changed}
    ends = {"expiresAt": row["expiresAt"]} if "expiresAt" in row else {}
    return {"value": value, "version": version, **times, **ends}
