"""Ending the process at one of its database commands."""

from contextvars import ContextVar
from typing import Any, Final

from pymongo.monitoring import CommandListener, CommandStartedEvent, CommandSucceededEvent

COUNTED: Final = frozenset(
    {"find", "getMore", "insert", "update", "delete", "findAndModify", "commitTransaction"}
)
DOOMED: ContextVar[bool] = ContextVar("doomed", default=False)


class Died(BaseException):
    """The process ended."""


class Killer(CommandListener):
    """Ends the process at one of its commands: before it is sent, or after the database has done
    it."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.after = False

    def doom(self, at: int, after: bool) -> None:
        self.left, self.after = at, after

    def started(self, event: CommandStartedEvent) -> None:
        if self._counts(event.command_name) and not self.after:
            self._strike()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if self._counts(event.command_name) and self.after:
            self._strike()

    def failed(self, event: Any) -> None:
        """What failed had no effect."""

    def _counts(self, name: str) -> bool:
        return self.left is not None and DOOMED.get() and name in COUNTED

    def _strike(self) -> None:
        assert self.left is not None
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise Died
