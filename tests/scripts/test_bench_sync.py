"""The bench of sync in short: every figure that it promises is there, and was measured."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_figure_is_measured() -> None:
    command = [
        sys.executable,
        "-m",
        "scripts",
        "bench-sync",
        "--streams",
        "100",
        "--writes",
        "20",
        "--rounds",
        "1",
        "--documents",
        "2000",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (
        0,
        1,
    ), done.stderr  # so short, and beside other tests, goals say nothing
    found = json.loads(done.stdout)
    figures = [
        found["batches"]["ratio"],
        *found["batches"]["single"].values(),
        *found["batches"]["batched"].values(),
        *(
            each["p50Ms"]
            for stage in ("before", "after")
            for each in found["polls"][stage].values()
        ),
        *(each["mongodMicroseconds"] for each in found["stamps"].values()),
    ]
    assert all(
        figure > 0 for figure in [*figures, *(found["live"][name] for name in found["goals"])]
    )
