"""`backup` and `restore` beside `make run`, and where no Satchel runs: then they start the embedded
database themselves."""

import signal
from pathlib import Path

from tests.factories.starts import SECONDS, Start


def test_a_backup_comes_back_into_another_data_folder(start: Start, tmp_path: Path) -> None:
    running = start(up=True)
    status, made = running.call("POST", "/v1/users", {"email": "ann@example.com"})
    assert status == 201
    beside, after = str(tmp_path / "beside"), str(tmp_path / "after")
    with_running = start("backup", beside, data_dir=running.data_dir)
    assert with_running.process.wait(SECONDS) == 0, with_running.output
    refused = start("restore", beside, data_dir=running.data_dir)
    assert refused.process.wait(SECONDS) == 1
    assert "Stop `make run` first" in refused.output
    assert running.end(signal.SIGINT) == 0

    alone = start("backup", after, data_dir=running.data_dir)
    assert alone.process.wait(SECONDS) == 0, alone.output
    elsewhere = tmp_path / "elsewhere"
    restored = start("restore", after, data_dir=elsewhere)
    assert restored.process.wait(SECONDS) == 0, restored.output
    assert not (elsewhere / "db" / "mongod.lock").read_text(), "its database has ended"
    again = start(data_dir=elsewhere, up=True)
    assert again.call("GET", f"/v1/users/{made['id']}")[0] == 200
    assert again.end(signal.SIGINT) == 0
