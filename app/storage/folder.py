"""A folder of files, for their owner's eyes only."""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from glob import escape
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from app.settings.private_files import sync_folder

_HALF: Final = re.compile(r"\..+\.[0-9a-f]{8}")
"""The name of a file that is not whole, made of the one that it is to have."""


class FolderStore:
    """See `app.storage.Store`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, name: str) -> "_HalfFile":
        """See `Store`."""
        return _HalfFile(self.path / name)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """See `Store`."""
        with (self.path / name).open("rb") as file:
            yield file

    def names(self) -> list[str]:
        """See `Store`."""
        found = (path for path in _files(self.path) if not _HALF.fullmatch(path.name))
        return sorted(str(path.relative_to(self.path)) for path in found)

    def remove(self, name: str) -> None:
        """See `Store`."""
        target = self.path / name
        target.unlink(missing_ok=True)
        for half in target.parent.glob(f".{escape(target.name)}.*"):
            half.unlink(missing_ok=True)

    def sweep(self, below: str = "", older: timedelta = timedelta()) -> None:
        """See `Store`."""
        until = time.time() - older.total_seconds()
        for path in _files(self.path / below):
            if _HALF.fullmatch(path.name):
                with suppress(FileNotFoundError):  # another process was first
                    if path.stat().st_mtime <= until:
                        path.unlink()


class _HalfFile:
    """See `app.storage.Half`; it has its name only once it is on the disk."""

    file: BinaryIO

    def __init__(self, target: Path) -> None:
        self.target = target
        _make(target.parent)
        self.half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        descriptor = os.open(self.half, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self.file = os.fdopen(descriptor, "w+b")

    def keep(self) -> None:
        """See `Half`."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.half.replace(self.target)
        sync_folder(self.target.parent)

    def abandon(self) -> None:
        """See `Half`."""
        with suppress(OSError):  # of what could not be written, the first fault was told
            self.file.close()
        self.half.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make a folder and those above it where they are missing; their names are on the disk then."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        sync_folder(folder.parent)


def _files(folder: Path) -> Iterator[Path]:
    """All below a folder; none where it is not there. One that cannot be read is an error."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    if folder.exists():
        for path, _, names in os.walk(folder, onerror=refuse):
            yield from (Path(path, name) for name in names)
