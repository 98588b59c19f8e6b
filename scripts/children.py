"""The processes of `scripts run`: started so that they end with it, and the lines of their logs
that matter."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from scripts.mongod import end_with_starter, keep_one_previous

_HARMLESS: Final = (b'"level":"info"', b'"level":"debug"')


@dataclass(slots=True)
class Child:
    """A command of ours in a process of its own.

    Attributes:
        name: what messages call it.
        process: the running process.
        log: file of what it says; None where it speaks to the terminal itself.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None
    _unread: BinaryIO | None
    _unfinished: bytes = b""

    @classmethod
    def start(
        cls, name: str, arguments: Sequence[str], *, environment: dict[str, str], log: Path | None
    ) -> Self:
        """Start `python -m scripts <arguments>`, its input a pipe, its output the log file, or the
        terminal.

        A Ctrl-C in the terminal does not reach it.
        """
        unread = None
        if log is not None:
            keep_one_previous(log)
            log.touch(mode=0o600)
            unread = log.open("rb")
        output = log.open("ab") if log is not None else None
        try:
            process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-m", "scripts", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
                preexec_fn=end_with_starter(),  # noqa: PLW1509  # no other thread of the starter holds a lock
            )
        finally:
            if output is not None:
                output.close()
        return cls(name, process, log, unread)

    def tell(self, line: str) -> None:
        """Send one line to its input and close that. That it has ended is for others to notice."""
        if self.process.stdin is None:
            return
        try:
            with self.process.stdin as pipe:
                pipe.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass

    def alarms(self) -> list[str]:
        """The log lines since the last call that are more than information: warnings, errors,
        tracebacks.

        A last line that is not written to its end yet is kept until it is, or until the process has
        ended.
        """
        if self._unread is None:
            return []
        ended = self.process.poll() is not None
        *lines, self._unfinished = (self._unfinished + self._unread.read()).split(b"\n")
        if ended and self._unfinished:
            lines.append(self._unfinished)
            self._unfinished = b""
        return [
            line.decode(errors="replace").rstrip()
            for line in lines
            if line and not any(harmless in line for harmless in _HARMLESS)
        ]

    def stop(self, seconds: float) -> None:
        """End it by SIGTERM, and after that many seconds by force; harmless when it has ended
        already."""
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
