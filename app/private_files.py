"""Files of secrets, which only their owner may read (mode 0600)."""

import os
import secrets
from pathlib import Path


def keep_first(path: Path, content: bytes) -> None:
    """Make a file whole, unless it is there already: of racing processes the first one's content stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_bytes(content)
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, by one write to the disk: a container that has the file mounted sees it, too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Put other content in the place of a file's, whole or not at all."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_bytes(content)
    fresh.replace(path)
