"""The drill of recovery in short: backup, restore and replay are killed at a random moment, begun
anew, and compared with ones that nobody killed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_what_was_killed_and_begun_anew_is_the_same() -> None:
    command = [sys.executable, "-m", "scripts", "bench-recovery"]
    done = subprocess.run(
        [*command, "--documents", "1000", "--kills", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "what was begun anew is the same" in done.stdout
    figures = re.findall(r"(\d+\.\d) s, .*?(\d+) MiB at most", done.stdout)
    assert len(figures) == 3
    assert all(float(seconds) > 0 and int(peak) > 10 for seconds, peak in figures)
