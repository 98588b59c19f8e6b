"""The processes of a soak: each can be frozen, killed, started again and, where libfaketime is,
told a wrong time."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from scripts.bench.processes import ROOT, BenchError, memory_of, start_module, stop
from scripts.mongod import Embedded, start_mongod

FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""The library by which a process is told a wrong time; None where it is not installed."""
_READY_SECONDS: Final = 90
_SETTLED_SECONDS: Final = 15
"""How long a program may take from its start, or its thaw, until it does what it is there for."""
_CACHE_GB: Final = 0.5


@dataclass(slots=True)
class Life:
    """One process of a program, from its start to its end: what it has in memory, in MiB, by
    seconds of its age."""

    pid: int
    begun: float
    memory: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Program:
    """A server or worker. `ended` counts the times that it ended by itself, which it never
    should."""

    name: str
    command: str
    environment: dict[str, str]
    log: Path
    clock: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None
    frozen: bool = False
    able_from: float = 0.0
    ended: int = 0
    lives: list[Life] = field(default_factory=list)

    def start(self) -> None:
        """Start it. To be called from the main thread: with the end of that the process ends."""
        with self.log.open("ab") as output:
            variables = self.environment | self._misled()
            self.process = start_module(
                "scripts", self.command, output=output, environment=variables, end_by=signal.SIGKILL
            )
        self.frozen, self.able_from = False, time.monotonic() + _SETTLED_SECONDS
        self.lives.append(Life(self.process.pid, time.monotonic()))

    def _misled(self) -> dict[str, str]:
        if self.clock is None or FAKETIME is None:
            return {}
        names = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1"}
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.clock), **names}

    @property
    def running(self) -> bool:
        """Whether its process is there and not frozen."""
        return self.process is not None and self.process.poll() is None and not self.frozen

    @property
    def able(self) -> bool:
        """Whether it has been running for long enough to do what it is there for."""
        return self.running and time.monotonic() > self.able_from

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)
            self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process is not None and self.frozen:
            self.process.send_signal(signal.SIGCONT)
            self.frozen, self.able_from = False, time.monotonic() + _SETTLED_SECONDS

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def tell_time(self, offset: int) -> None:
        """Have its machine's clock be wrong by this many seconds."""
        if self.clock is not None:
            fresh = self.clock.with_suffix(".new")
            fresh.write_text(f"{offset:+d}\n")
            fresh.replace(self.clock)

    def revive(self) -> None:
        """Start it again where it has ended by itself, and count that."""
        if self.process is not None and self.process.poll() is not None:
            self.ended += 1
            self.start()

    def weigh(self) -> None:
        """Note what it has in memory."""
        if not self.running or self.process is None:
            return
        if (found := memory_of(self.process.pid)) is not None:
            self.lives[-1].memory.append((time.monotonic() - self.lives[-1].begun, found))

    def end(self) -> None:
        """Let it go."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            stop(self.process)


@dataclass(slots=True)
class Fleet:
    """All that runs: the database, a server, three workers. Only the clock of the second worker is
    misled."""

    folder: Path
    environment: dict[str, str]
    mongod: Embedded
    server: Program
    workers: list[Program]
    database_from: float = 0.0

    @property
    def programs(self) -> list[Program]:
        """Server and workers."""
        return [self.server, *self.workers]

    def can_work(self) -> bool:
        """Whether a job that is due can be done now: the database is up, and so is a worker."""
        if (
            self.mongod.process.poll() is not None
            or time.monotonic() < self.database_from + _SETTLED_SECONDS
        ):
            return False
        return any(worker.able for worker in self.workers)

    def stop_database(self, *, kill: bool) -> None:
        """End the database, by SIGTERM or SIGKILL."""
        if kill:
            self.mongod.process.kill()
            self.mongod.process.wait()
        else:
            self.mongod.stop()

    def start_database(self) -> None:
        """Start the database again, on the same files and port."""
        self.mongod = start_mongod(self.folder, cache_gb=_CACHE_GB)
        self.database_from = time.monotonic()

    def wait_until_served(self) -> None:
        """Wait until the server is ready.

        Raises:
            BenchError: it is not within a minute and a half.
        """
        url, deadline = self.environment["SATCHEL_PUBLIC_URL"], time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"{url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise BenchError(
            "the server did not become"
            f" ready:\n{self.server.log.read_text(errors='replace')[-2000:]}"
        )


@contextmanager
def fleet(folder: Path, environment: dict[str, str], mongod: Embedded) -> Iterator[Fleet]:
    """Server and workers, started, and ended in the end with the database."""
    clock = folder / "clock"
    clock.write_text("+0\n")
    names = ["worker-1", "worker-2", "worker-3"]
    programs = [Program(name, "worker", environment, folder / f"{name}.log") for name in names]
    programs[1].clock = clock
    server = Program("server", "serve", environment, folder / "server.log")
    found = Fleet(folder, environment, mongod, server, programs)
    try:
        for program in found.programs:
            program.start()
        found.wait_until_served()
        yield found
    finally:
        for program in found.programs:
            program.end()
        found.mongod.stop()


def prepare(variables: dict[str, str]) -> None:
    """What a deployment does before its servers start.

    Raises:
        BenchError: it failed.
    """
    for arguments in (["indexes", "apply"], ["migrate"]):
        done = subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-m", "scripts", *arguments],
            env=variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{' '.join(arguments)}: {done.stderr}")
