"""Tables of commands on a narrow terminal."""

import io

from rich.console import Console

from models.base import now
from models.integrity import IntegrityScan
from models.relations import RELATIONS
from scripts.integrity import _table
from scripts.tables import table


def printed(shown: object) -> str:
    console = Console(width=80, file=io.StringIO(), markup=False)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def first_cells(text: str) -> str:
    """What the first column says, its lines put together again."""
    rows = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    return "".join(rows)


def test_nothing_is_cut() -> None:
    kid = "3WDJcES8_TNwD9B1nY9JpPCTtxbqlWjdyaAxGZm_nXs" * 2
    shown = table("Keys", ["kid", "made"], ["uses"])
    shown.add_row(kid, "2026-11-29T10:43:26+00:00", "1,234")
    text = printed(shown)
    assert "…" not in text and first_cells(text) == kid


def test_the_relations_of_a_check_can_be_told_apart() -> None:
    labels = [relation.label for relation in RELATIONS]
    made = {"state": "done", "scanned": 10**9, "started_at": now()}
    scans = [IntegrityScan.model_construct(id=label, **made) for label in labels]
    text = printed(_table(scans))
    assert "…" not in text and first_cells(text) == "".join(labels)
