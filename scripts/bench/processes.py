"""The processes of a run: the two servers, the load generator, and the time that each has used."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from scripts.bench.data import Plan
from scripts.bench.load import Round
from scripts.mongod import end_with_starter

ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 10


class BenchError(Exception):
    """The measuring failed; the message says why."""


_ended: Final = threading.Event()


def end_at_sigterm() -> None:
    """Have SIGTERM end this bench with everything put away."""
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    """Leave. Python drops what is raised while it frees something, so it is noted, too, for the
    next round."""
    _ended.set()
    sys.exit(128 + signal.SIGTERM)


@dataclass(slots=True)
class Server:
    """A server of ours on a loopback port; a context manager that stops it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        name: str,
        factory: str,
        *,
        environment: dict[str, str],
        folder: Path,
        http: str = "auto",
    ) -> Self:
        """Start an application and wait until it listens. Both servers get the same options of
        uvicorn, but `http`.

        Args:
            name: what messages and the log file are called.
            factory: `module:function` that makes the application.
            environment: its whole environment.
            folder: where its log goes, and it runs.
            http: the class of its connections.

        Raises:
            BenchError: it ended, or did not listen within half a minute.
        """
        port, log = free_port(), folder / f"{name}.log"
        options = ["--factory", "--no-access-log", "--no-server-header", "--log-level", "warning"]
        options += ["--http", http]
        where = ["--app-dir", str(ROOT), "--host", "127.0.0.1", "--port", str(port)]
        with log.open("ab") as output:
            arguments = ("uvicorn", factory, *options, *where)
            process = start_module(
                *arguments, output=output, environment=environment, folder=folder
            )
        server = cls(name, port, process, log)
        try:
            server._wait_until_it_listens()
        except BaseException:
            server.stop()
            raise
        return server

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise BenchError(f"{self.name} did not start:\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of its log, without the lines of requests."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"level":"info"' not in line][-15:])

    def stop(self) -> None:
        """End it."""
        stop(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(slots=True)
class LoadGenerator:
    """The load generator's process; a context manager that stops it."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, plan: Plan, module: str = "scripts.bench.load") -> Self:
        """Start one of our modules and tell it the plan."""
        process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            start_new_session=True,
            preexec_fn=end_with_starter(),  # noqa: PLW1509  # no other thread of the starter holds a lock
        )
        generator = cls(process)
        generator._tell(asdict(plan))
        return generator

    def play(self, server: Server, workload: str, seconds: float) -> Round:
        """One round of a workload against a server.

        Raises:
            BenchError: an answer was wrong, or did not come.
        """
        return Round(**self.ask(server, {"workload": workload, "seconds": seconds}))

    def ask(self, server: Server, what: dict[str, Any]) -> dict[str, Any]:
        """What the generator found of one round, told by its fields.

        Raises:
            BenchError: an answer was wrong, or did not come.
        """
        if _ended.is_set():
            _end()
        self._tell({"port": server.port, **what})
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the load generator ended"}
        if "error" in answer:
            raise BenchError(f"{server.name}, {what}: {answer['error']}\n{server.last_lines()}")
        return answer

    def _tell(self, what: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def start_module(
    *arguments: str,
    output: IO[bytes],
    environment: dict[str, str],
    folder: Path = ROOT,
    end_by: int = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start one of our modules, in a session of its own. To be called from the main thread, which
    it ends with.

    Args:
        arguments: what stands behind `python -m`.
        output: takes all that it says.
        environment: its whole environment.
        folder: where it runs.
        end_by: the signal that ends it when the starter is gone.
    """
    return subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        cwd=folder,
        start_new_session=True,
        preexec_fn=end_with_starter(end_by),  # noqa: PLW1509  # no other thread of the starter holds a lock
    )


def memory_of(pid: int, name: str = "VmRSS") -> float | None:
    """A figure of a process's memory in MiB; None where it has ended, or the system does not tell.

    Args:
        pid: of the process.
        name: as Linux calls it: `VmRSS`, what it has now, or `VmHWM`, what it had at most.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)


def stop(process: "subprocess.Popen[Any]") -> None:
    """End a process, by force after ten seconds."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Time that a process has used on the processors, its threads together; NaN where the system
    does not tell."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    user, system = after_name[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def environment(settings: Sequence[tuple[str, object]]) -> dict[str, str]:
    """The environment of both servers: this one, with exactly these `SATCHEL_*` settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.upper().startswith("SATCHEL_")
    }
    return kept | {f"SATCHEL_{name.upper()}": str(value) for name, value in settings}


def free_port() -> int:
    """A loopback port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
