"""What the terminal repeats of a child's log, and what is said where the environment is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.children import Child

ROOT = Path(__file__).parents[2]


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """A process that has ended, with a log that tests write to; `running` makes it look alive."""
    log = tmp_path / "server.log"
    log.touch()
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    process.communicate()
    return Child("server", process, log, log.open("rb"))


def write(child: Child, text: str) -> None:
    assert child.log is not None
    with child.log.open("a") as log:
        log.write(text)


def test_a_line_is_repeated_when_it_is_whole(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as running:
        running.setattr(child.process, "poll", lambda: None)
        write(child, '{"event":"request","level":"info"}\n{"event":"disk","lev')
        assert child.alarms() == []
        write(child, 'el":"info"}\n{"event":"fire","level":"er')
        assert child.alarms() == []
        write(child, 'ror"}\nTraceback')
        assert child.alarms() == ['{"event":"fire","level":"error"}']
        assert child.alarms() == []
    assert child.alarms() == ["Traceback"]
    assert child.alarms() == []


def test_without_the_environment_one_line_says_what_to_call() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STARTER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "lacks typer" in done.stderr
    assert ".venv/bin/python -m scripts" in done.stderr
    assert "make run" in done.stderr


STARTER = (
    "import runpy, sys; sys.path.insert(0, '.'); runpy.run_module('scripts', run_name='__main__')"
)
