"""Files of secrets, which only their owner may read (mode 0600). What was written is on the disk,
and whole."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LEAST: Final = 32


def keep_first(path: Path, content: bytes) -> None:
    """Make a file, unless it is there already: of racing processes the first one's content
    stays."""
    fresh = _fresh(path, content)
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    sync_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Put other content in the place of a file's, or make it."""
    _fresh(path, content).replace(path)
    sync_folder(path.parent)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, by one write to the disk: a container that has the file mounted
    sees it, too."""
    _sync(path, os.O_WRONLY | os.O_APPEND, content)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only process that reads a file and writes it anew, while the block lasts; others wait.

    The lock is a file beside it, which stays: the file itself is replaced, and a lock on it would
    go with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_master(path: Path, *, make: bool) -> bytes:
    """The secret that a file holds, from which keys are derived.

    Args:
        path: the file.
        make: whether to make one where there is none.

    Raises:
        ValueError: it has less than 32 bytes.
        FileNotFoundError: it is not there, and not to be made.
    """
    if make and not path.exists():
        keep_first(path, secrets.token_urlsafe(48).encode() + b"\n")
    master = path.read_bytes().strip()
    if len(master) < _LEAST:
        raise ValueError(f"{path} holds less than {_LEAST} bytes")
    return master


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    _sync(path, os.O_RDONLY)


def _fresh(path: Path, content: bytes) -> Path:
    """A file beside the one that is meant."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _sync(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, content)
    return fresh


def _sync(path: Path, flags: int, content: bytes = b"") -> None:
    """Open a file or folder, write what there is to write, and wait until it is on the disk."""
    descriptor = os.open(path, flags, 0o600)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
