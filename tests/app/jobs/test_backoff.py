"""Backoff: longer after each failure, to an end, not together with others, and as long as told."""

import ast

from app.jobs.backoff import OUTSIDE, Backoff
from scripts.rooms import sources


def seconds(failures: int, told: float | None = None) -> list[float]:
    return [OUTSIDE.after(failures, told).total_seconds() for _ in range(50)]


def test_it_grows_has_jitter_and_an_end() -> None:
    waits = [seconds(failures) for failures in (1, 4, 100)]
    assert all(15 <= wait <= 30 for wait in waits[0])
    assert all(120 <= wait <= 240 for wait in waits[1])
    assert all(3 * 3600 <= wait <= 6 * 3600 for wait in waits[2])
    assert all(len(set(each)) > 10 for each in waits)


def test_it_waits_as_long_as_told() -> None:
    assert all(600 <= wait <= 660 for wait in seconds(1, told=600))
    assert max(seconds(1, told=1)) <= 30


def test_steps_double_from_the_first_failure() -> None:
    assert [Backoff(2.0, 12.0).step(failures) for failures in range(6)] == [2, 2, 4, 8, 12, 12]


def test_nobody_else_doubles_a_wait() -> None:
    """`2 ** failures` elsewhere is a second retry decision."""
    powers = {
        module
        for module, tree in sources().items()
        if module.startswith("app.")
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Pow)
        and ast.unparse(node.left) in ("2", "2.0")
        and not isinstance(node.right, ast.Constant)
    }
    assert powers == {"app.jobs.backoff"}
