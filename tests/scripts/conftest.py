"""Satchels that are started as people start them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.starts import Satchel, Start, eventually, free_port


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a script; `up=True` waits until the welcome is printed. Whatever still runs at the end
    is ended."""
    started: list[Satchel] = []
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")}

    def start_one(
        *arguments: str,
        data_dir: Path | None = None,
        port: int | None = None,
        up: bool = False,
        **more: str,
    ) -> Satchel:
        data_dir = data_dir or tmp_path_factory.mktemp("run") / "data"
        port = port or free_port()
        console = tmp_path_factory.mktemp("console") / "output"
        environment = {
            **clean,
            "SATCHEL_DATA_DIR": str(data_dir),
            "SATCHEL_PORT": str(port),
            **more,
        }
        with console.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts", *(arguments or ["run"])],
                env=environment,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        satchel = Satchel(process, data_dir, port, console)
        started.append(satchel)
        if up:
            eventually(
                lambda: "Ctrl-C" in satchel.output or process.poll() is not None, "the welcome"
            )
            assert process.poll() is None, satchel.output
        return satchel

    yield start_one
    for satchel in started:
        if satchel.process.poll() is None:
            satchel.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def satchel(start: Start) -> Satchel:
    """One that runs for the tests that leave it as it is."""
    return start(up=True)
