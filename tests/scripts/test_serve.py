"""What `python -m scripts serve` arranges before it listens."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn

from app.settings import Settings
from app.web.admission.pauses import PatientProtocol
from scripts import processes
from scripts import serve as command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("soft", [64, 1024])
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(soft: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource; from scripts.serve import raise_file_limit; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); raise_file_limit(); "
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(min(hard, 65_536)), str(hard)]


def test_it_serves_with_patient_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[uvicorn.Config] = []
    monkeypatch.setattr(processes, "serve_alone", lambda config, _: configs.append(config))
    monkeypatch.setattr(command, "raise_file_limit", lambda: None)
    monkeypatch.setattr(command, "load_settings", lambda: Settings(_env_file=None))
    command.serve()
    (config,) = configs
    config.load_app = lambda: lambda: None  # type: ignore[method-assign]
    config.load()
    assert config.http_protocol_class is PatientProtocol


def test_what_the_start_made_is_not_searched_for_cycles_again() -> None:
    code = (
        "import gc, os; from uvicorn import Config; from scripts.serve import FACTORY;"
        " os.environ['SATCHEL_MONGODB_URI'] = 'mongodb://127.0.0.1:1'; app = Config(FACTORY,"
        " factory=True); app.load(); print(gc.isenabled(), gc.get_freeze_count() > 100_000,"
        " len(gc.get_objects()) < 10_000, gc.get_threshold())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=3) == ["True", "True", "True", "(5000, 20, 20)\n"]
