"""What is seen of a server from outside while a crowd is at it: `/livez`, memory, and when it is
itself again."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from scripts.bench.data import Plan
from scripts.bench.processes import Server, memory_of
from scripts.bench.traffic import all_reads

_EVERY: Final = 0.1
_GIVEN_UP: Final = 30.0
_HEALTHY: Final = 0.25
_LIVEZ: Final = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def memory(server: Server) -> float:
    """MiB that a server has in memory now; NaN where the system does not tell."""
    found = memory_of(server.process.pid)
    return float("nan") if found is None else found


class Watch:
    """Asks `/livez` on a new connection ten times a second, and looks at the server's memory each
    time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self.slowest = 0.0
        self.peak = memory(server)

    @classmethod
    @contextmanager
    def over(cls, server: Server) -> Iterator["Watch"]:
        """Watch while the body runs."""
        watch = cls(server)
        thread = threading.Thread(target=watch._look, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch._over.set()
            thread.join()

    def rest(self, seconds: float) -> float:
        """The server's memory in MiB when it has had some rest."""
        time.sleep(seconds)
        return memory(self._server)

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            self.slowest = max(self.slowest, _asked(self._server, _LIVEZ))
            self.peak = max(self.peak, memory(self._server))


def seconds_until_healthy(server: Server, plan: Plan) -> float:
    """Seconds until one value is read within a quarter of a second; half a minute where it is
    not."""
    started = time.perf_counter()
    request = all_reads(plan)[0]
    while (took := time.perf_counter() - started) < _GIVEN_UP:
        if _asked(server, request, b"HTTP/1.1 200") < _HEALTHY:
            break
        time.sleep(_EVERY)
    return min(took, _GIVEN_UP)


def _asked(server: Server, request: bytes, expected: bytes = b"HTTP/1.1 ") -> float:
    """Seconds until an answer that begins as expected; half a minute where it does not come."""
    started = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=_GIVEN_UP) as connection:
            connection.sendall(request)
            answer = connection.recv(4096)
    except OSError:
        return _GIVEN_UP
    return time.perf_counter() - started if answer.startswith(expected) else _GIVEN_UP
