"""Commands of npm's packages, as the clients' tests run them."""

import os
import subprocess
from pathlib import Path

_SECONDS = 300


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """What a command says; it must succeed."""
    made = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert made.returncode == 0, (made.stdout + made.stderr)[-4000:]
    return made.stdout
