"""The bench of growth in short: every figure that it promises is there, and was measured."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"noDatabase", "read", "compareAndSet", "list", "activity", "complete", "delete"}


def test_every_figure_is_measured() -> None:
    command = [sys.executable, "-m", "scripts", "bench-growth"]
    command += ["--sizes", "100,1000", "--requests", "20"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # so short, goals say nothing
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["grew"].keys() == KINDS
    assert [stage["values"] for stage in found["stages"]] == [100, 1000]
    first, last = found["stages"]
    for stage in (first, last):
        assert stage["milliseconds"].keys() == KINDS
        assert all(0 < each["p50"] <= each["p95"] for each in stage["milliseconds"].values())
        assert all(each > 0 for each in stage["memoryMiB"].values())
    grown = last["bytes"]["appdata"]["documents"] - first["bytes"]["appdata"]["documents"]
    assert grown == 1000 - 100
    assert last["bytes"]["appdata"]["indexes"] > 0
