"""The bench of ingest in short: every server took events."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_server_is_measured() -> None:
    command = [sys.executable, "-m", "scripts", "bench-ingest"]
    command += ["--rounds", "1", "--seconds", "0.2"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1: fewer than the goal, as on a busy machine
    found = json.loads(done.stdout)["servers"]
    assert found.keys() == {"satchel", "lean", "bare", "indexed"}
    assert all(told["least"] > 0 for told in found.values())
    assert found["lean"]["cpuMicrosecondsAnEvent"].keys() == {"server", "mongod", "worker"}
