"""The data folder of a running Satchel: one at a time has it, and a start that fails leaves no
empty one."""

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from scripts.mongod import holder_of

_PATIENCE_SECONDS: Final = 3
_POLL_SECONDS: Final = 0.02


class FolderError(Exception):
    """The data folder cannot be had; the message says what is in the way."""


@dataclass(slots=True)
class DataFolder:
    """A data folder that is locked by this process, until it is released or the process ends."""

    path: Path
    _descriptor: int

    @classmethod
    def take(cls, path: Path) -> Self:
        """Make the folder where it is missing, and lock it; one that is being given up is waited
        for.

        Raises:
            FolderError: another Satchel has it, or it cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise FolderError(f"The data folder {path} cannot be made: {error.strerror}.") from None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise FolderError(_taken(path))
            time.sleep(_POLL_SECONDS)
        return cls(path, descriptor)

    def release(self) -> None:
        """Let others have it. A folder in which nothing was kept goes."""
        with suppress(OSError):
            self.path.rmdir()
        os.close(self._descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(path: Path) -> str:
    holder = holder_of(path / "db")
    its = f" (its MongoDB is process {holder})" if holder else ""
    return (
        f"Another Satchel runs with the data folder {path}{its}. "
        "Stop it, or set SATCHEL_DATA_DIR to another folder, and SATCHEL_PORT to another port."
    )
