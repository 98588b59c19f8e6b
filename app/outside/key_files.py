"""Files of keys: read again where they have changed, and what is derived from what they hold."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.web.observability import log

T = TypeVar("T")
Stamp = tuple[int, int, int]


class Watched(Generic[T]):
    """What a file says. It is read again where the file has changed; where it cannot be read, what
    is known stays.

    Args:
        path: of the file.
        read: reads it.

    Raises:
        Exception: what `read` raises, of the first reading alone.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path = path
        self._read = read
        # before it is read: a file that is replaced meanwhile is read again
        self._stamp = _stamp(path)
        self._known = read(path)
        self._looked_at = time.monotonic()

    def look(self, every: float = 0.0) -> T:
        """What the file says.

        Args:
            every: seconds since the last look, before which it is not looked at again.
        """
        moment = time.monotonic()
        if moment - self._looked_at >= every:
            self._looked_at = moment
            self._look()
        return self._known

    def _look(self) -> None:
        stamp = _stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return
        try:
            self._known, self._stamp = self._read(self._path), stamp
        except Exception as error:  # half written, it may be: the next look reads it whole
            log.warning(
                "a file of keys cannot be read", file=self._path.name, error=type(error).__name__
            )


def derived(material: bytes, purpose: bytes, *, salt: bytes | None = None) -> bytes:
    """A key of 32 bytes for one purpose, which tells nothing of the material or of another key
    (HKDF, RFC 5869)."""
    return HKDF(SHA256(), length=32, salt=salt, info=purpose).derive(material)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
