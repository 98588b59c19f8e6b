"""The bench of writes in short: every operation was measured, and did what it should."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"returned", "plain", "unretried", "company", "companyAndRead"}


def test_every_operation_is_measured() -> None:
    command = [sys.executable, "-m", "scripts", "bench-writes"]
    command += ["--rounds", "1", "--seconds", "0.2"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["writes"]
    assert found.keys() == KINDS
    assert all(figure > 0 for told in found.values() for figure in told.values())
