"""A process that is killed at its n-th step: that step and all after it, clearing up included, do
nothing any more."""

from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

_WRITES = (
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "delete_one",
    "delete_many",
    "bulk_write",
    "find_one_and_update",
)
_FILES = ("replace", "unlink", "mkdir")


class Killed(BaseException):
    """The process is no more."""


class Killer:
    """Counts the steps that leave something behind, in the database and in the archive's folder."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps, self.dies_at = 0, 10**9
        for name in _WRITES:
            patch.setattr(AsyncCollection, name, self._write(getattr(AsyncCollection, name)))
        for name in _FILES:
            patch.setattr(Path, name, self._file(getattr(Path, name)))

    def at(self, number: int) -> None:
        """Die at this step, counted from now on."""
        self.steps, self.dies_at = 0, number

    def _step(self) -> None:
        self.steps += 1
        if self.steps >= self.dies_at:
            raise Killed

    def _write(self, real: Any) -> Any:
        async def write(*args: Any, **named: Any) -> Any:
            self._step()
            return await real(*args, **named)

        return write

    def _file(self, real: Any) -> Any:
        def file(*args: Any, **named: Any) -> Any:
            self._step()
            return real(*args, **named)

        return file
