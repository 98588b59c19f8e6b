"""What `python -m scripts serve` arranges before it listens."""

import os
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


@pytest.mark.parametrize(("processes", "together"), [(1, False), (2, True)])
def test_several_processes_measure_together_wherever_that_is_set(
    processes: int, together: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"SATCHEL_PROCESSES={processes}\n")
    monkeypatch.chdir(tmp_path)
    command.load_settings.cache_clear()
    try:
        with command.shared_metrics():
            folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
            assert (folder is not None and Path(folder).is_dir()) == together
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    finally:
        command.load_settings.cache_clear()


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
