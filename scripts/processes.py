"""Server processes behind one port, and how they leave: first not ready any more, then gone."""

import ctypes
import os
import signal
import threading
import time
from multiprocessing import parent_process
from types import FrameType
from typing import TYPE_CHECKING, Final

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from scripts.mongod import PR_SET_PDEATHSIG

if TYPE_CHECKING:
    from fastapi import FastAPI

LEAVING: Final = signal.SIGUSR1
"""Tells a server that it will be stopped: `/readyz` answers 503 from then on."""


def serve_alone(config: uvicorn.Config, delay: float) -> None:
    """Serve by this process until SIGTERM.

    Args:
        config: of the server.
        delay: seconds from a SIGTERM until connections are taken no more; a second one does not
            wait.
    """
    server = _Patient(config, delay)
    server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)


def serve_together(config: uvicorn.Config, delay: float) -> None:
    """Serve by `config.workers` processes on one socket until SIGTERM; this one only looks after
    them.

    One that dies is replaced, all are on SIGHUP: each by one that is ready before it leaves.

    Args:
        config: of the servers.
        delay: as above.
    """
    _Fleet(config, delay).run()


def note_leaving(app: "FastAPI") -> None:
    """Have an application know when its process is about to leave, and end with its supervisor."""
    signal.signal(LEAVING, lambda *_: setattr(app.state, "is_leaving", True))
    if parent_process() is not None and os.name == "posix":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class _Patient(uvicorn.Server):
    """A server that says that it leaves before it does."""

    def __init__(self, config: uvicorn.Config, delay: float) -> None:
        super().__init__(config)
        self._delay = delay
        self._is_leaving = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal is told, the server ends a moment later, at the second at once."""
        if self._is_leaving or self._delay == 0 or not self.started:
            super().handle_exit(sig, frame)
            return
        self._is_leaving = True
        signal.raise_signal(LEAVING)
        timer = threading.Timer(self._delay, super().handle_exit, (sig, None))
        timer.daemon = True
        timer.start()


class _Fleet(Multiprocess):
    """uvicorn's supervisor, whose servers say that they leave before they do."""

    def __init__(self, config: uvicorn.Config, delay: float) -> None:
        super().__init__(config, [config.bind_socket()])
        self._delay = delay
        self._measuring: set[int] = set()

    def handle_signals(self) -> None:
        """Do what was asked, and measure no more of those who are gone."""
        super().handle_signals()
        pids = {process.pid for process in self.processes if process.pid is not None}
        for gone in self._measuring - pids:
            mark_process_dead(gone)  # type: ignore[no-untyped-call]
        self._measuring = pids

    def terminate_all(self) -> None:
        """Stop the servers, all at once, a moment after they know."""
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, LEAVING)
        until = time.monotonic() + self._delay
        while time.monotonic() < until and len(self.signal_queue) == 0:
            time.sleep(0.05)
        super().terminate_all()
