"""The bench of several processes in short: every figure that it promises was measured."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_figure_is_measured() -> None:
    command = [sys.executable, "-m", "scripts", "bench-processes"]
    command += ["--rounds", "1", "--seconds", "0.1"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # so short, goals say nothing
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["workloads"].keys() == {"read", "mix"}
    for both in found["workloads"].values():
        assert both.keys() == {"satchel", "bare"}
        for told in both.values():
            assert all(each > 0 for name in told for each in _numbers(told[name]))


def _numbers(figure: float | list[float]) -> list[float]:
    return figure if isinstance(figure, list) else [figure]
