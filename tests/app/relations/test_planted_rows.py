"""Rows that no model would take, of every type of BSON, in every collection: the integrity check
names them or passes over them, and never fails."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo.errors import DuplicateKeyError, WriteError

from app.relations import audit, living_roots, unreadable
from app.work import HOOKS
from models import DOCUMENTS
from models.deletion import Deletion
from models.relations import RELATIONS

ODD: Final[tuple[Any, ...]] = (
    None, True, 7, Int64(2**62), 2.5, float("nan"), "text", "", {}, {"a": {"b": 1}}, [], [[1]],
    [{"a": 1}], [None, "x", {"userId": {"a": 1}}], Binary(b"x"), Binary(b"y", 128), Code("1"),
    DBRef("users", 1), Decimal128("1.5"), MaxKey(), MinKey(), ObjectId(), Regex("^a"),
    Timestamp(1, 2), datetime(1, 1, 1, tzinfo=UTC),
)  # fmt: skip


async def plant(document: Any, rows: list[Any]) -> int:
    """Add what the indexes let in. How many that were."""
    there = 0
    for row in rows:
        try:
            await document.raw().insert_one(row)
        except (DuplicateKeyError, WriteError):
            continue
        there += 1
    return there


def path_of(stored: str, value: Any) -> Any:
    """`members.userId` as it is stored."""
    name, _, rest = stored.partition(".")
    return {name: [{rest: value}] if rest else value}


@pytest.fixture
async def planted(database: Any) -> dict[str, int]:
    """How many rows each collection has."""
    found: dict[str, int] = {}
    for relation in RELATIONS:
        rows = [path_of(relation.stored, value) for value in ODD]
        rows += [{relation.stored.partition(".")[0]: value} for value in ODD]
        name = relation.child.collection_name()
        found[name] = found.get(name, 0) + await plant(relation.child, rows)
    for document in DOCUMENTS:
        ids = [value for value in ODD if not isinstance(value, list | Regex | MaxKey)]
        rows = [{"_id": value} for value in ids if value is not None]
        rows += [{"_id": ObjectId(), **dict.fromkeys(_fields(document), value)} for value in ODD]
        name = document.collection_name()
        found[name] = found.get(name, 0) + await plant(document, rows)
    return found


def _fields(document: Any) -> list[str]:
    names = [field.alias or name for name, field in document.model_fields.items()]
    return [name for name in names if name not in ("_id", "id", "revision_id", "guard")]


async def test_no_planted_row_ends_a_check(
    planted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 7)
    monkeypatch.setattr(living_roots, "_BATCH", 7)
    scans = {scan.id: scan for scan in await audit.check(restart=True)}
    for relation in RELATIONS:
        seen = scans[relation.label].scanned
        assert seen == planted[relation.child.collection_name()], relation.label
    assert sum(scan.orphans for scan in scans.values()) > len(RELATIONS)
    living = await living_roots.check_living()
    assert living.scanned == planted[Deletion.collection_name()]
    rows = await unreadable.check_rows()
    assert [scan.id for scan in rows if scan.unreadable == 0] == []
    shown = [scan.model_dump(mode="json", by_alias=True, fallback=str) for scan in scans.values()]
    assert all(each["samples"] is not None for each in shown)


async def test_no_planted_row_ends_a_repair(
    planted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 7)
    for relation in RELATIONS:
        async for faults in audit.faults_of(relation):
            await audit.repair(faults, "test", HOOKS)
