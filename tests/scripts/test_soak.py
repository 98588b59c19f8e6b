"""The soak in short: each fault once, and every check; what the checks say of figures that are
wrong."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.soak import checks, watch
from scripts.bench.soak.faults import Fault
from scripts.bench.soak.load import Journal
from scripts.bench.soak.plant import ODD
from scripts.bench.soak.program import FAKETIME, Life
from scripts.bench.soak.receiver import Delivery

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {
    "odd row": len(ODD),
    "odd event": 1,
    "restart database": 1,
    "kill database": 1,
    "kill server": 1,
    "freeze server": 1,
    **({"clock": 1} if FAKETIME else {}),
}


def test_a_satchel_that_meets_each_fault_once_keeps_its_promises() -> None:
    command = [
        sys.executable,
        "-m",
        "scripts",
        "bench-soak",
        "--minutes",
        "0.6",
        "--seed",
        "1",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    found = json.loads(done.stdout or "{}")
    assert done.returncode == 0, (
        f"{done.stderr} {[row for row in found.get('checks', []) if row['holds'] is False]}"
    )
    assert {name: found["faults"].get(name) for name in FAULTS} == FAULTS
    kinds = Counter(name.rstrip("-123") for name in found["faults"])
    assert {"freeze worker", "kill worker"} <= kinds.keys()
    held = {row["check"]: row["holds"] for row in found["checks"]}
    assert held.pop("memory is flat") in (None, True)  # None where no process lived for two minutes
    assert set(held.values()) == {True}
    assert len(held) == 16


def delivery(event_id: str, sequence: int, at: float) -> Delivery:
    return Delivery(at, event_id, "card", sequence, "card.updated")


def row(event_id: str, state: str = "delivered") -> dict[str, Any]:
    return {
        "_id": event_id,
        "state": state,
        "type": "card.updated",
        "subject": "card",
        "changed": ["spendLimit"],
    }


class Rows(list[dict[str, Any]]):
    """Rows in the place of a collection."""

    def find(self, *_: Any) -> "Rows":
        return self


class Database:
    """A database that has card events alone."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.cardevents = Rows(rows)


ONE, TWO = delivery("1", 1, 100.0), delivery("2", 2, 101.0)
MOMENT = datetime(2026, 11, 28, tzinfo=UTC)
FREEZE = Fault("freeze worker-1", 90.0, 99.0)


@pytest.mark.parametrize(
    ("deliveries", "faults", "holds"),
    [
        ([ONE, TWO], [], (True, True)),
        ([ONE], [], (False, True)),
        ([ONE, delivery("1", 1, 135.0), TWO], [], (False, True)),
        ([ONE, TWO, delivery("1", 1, 135.0)], [FREEZE], (True, True)),
        ([ONE, TWO, delivery("3", 3, 102.0)], [], (False, True)),
        ([delivery("2", 2, 99.0), ONE], [], (True, False)),
    ],
    ids=["well", "lost", "repeated", "repeated by one who was frozen", "unknown", "out of order"],
)
def test_a_delivery_is_judged(
    deliveries: list[Delivery], faults: list[Fault], holds: tuple[bool, bool]
) -> None:
    database: Any = Database(row("1"), row("2"))
    once, in_order, _ = checks.check_card_events(database, Journal(), deliveries, faults)
    assert (once.holds, in_order.holds) == holds


def test_a_change_without_an_event_and_an_event_that_waits_are_faults() -> None:
    database: Any = Database(row("1"), row("2", "waiting"))
    once, _, told = checks.check_card_events(
        database, Journal(changes=Counter(card=3)), [ONE, TWO], []
    )
    assert once.faults == ["2 is waiting"]
    assert told.faults == ["card: 3 changes, 2 events"]


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        ({"lastRunAt": MOMENT - timedelta(seconds=9), "everySeconds": 5.0}, True),
        (
            {
                "lastRunAt": MOMENT - timedelta(seconds=9),
                "everySeconds": 5.0,
                "runAt": MOMENT + timedelta(hours=1),
            },
            True,
        ),
        ({"lastRunAt": MOMENT - timedelta(seconds=4), "everySeconds": 5.0}, True),
        (
            {
                "lastRunAt": MOMENT - timedelta(seconds=4),
                "everySeconds": 5.0,
                "runAt": MOMENT + timedelta(1),
            },
            False,
        ),
        ({}, True),
        ({"runAt": MOMENT + timedelta(seconds=1)}, False),
        ({"leasedUntil": MOMENT + timedelta(seconds=1)}, False),
        ({"leasedUntil": MOMENT - timedelta(seconds=1)}, True),
    ],
)
def test_a_periodic_job_is_late_whatever_keeps_it_and_another_while_nobody_has_it(
    fields: dict[str, Any], late: bool
) -> None:
    assert watch._is_late({"runAt": MOMENT, **fields}, MOMENT) is late


@pytest.mark.parametrize(
    ("last_age", "mib", "growth"),
    [(100.0, 200.0, None), (300.0, 130.0, 30.0), (300.0, 90.0, -10.0)],
)
def test_memory_is_compared_with_that_after_the_first_minute(
    last_age: float, mib: float, growth: float | None
) -> None:
    life = Life(1, 0.0, [(5.0, 50.0), (61.0, 100.0), (last_age, mib)])
    assert checks._growth(life) == growth
