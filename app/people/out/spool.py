"""A stretch of an answer that was read and not taken yet: in memory at first, then in a temporary
file, so that whoever takes it slowly does not hold up the reading."""

import asyncio
import threading
import zlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from tempfile import TemporaryFile
from typing import IO, Final

_CHUNK: Final = 256 * 1024
_IN_MEMORY: Final = 1024 * 1024
_FAST: Final = 1
_Where = tuple[int, int]
"""Where a chunk begins in the file, and how long it is there."""


class Spool:
    """What was read comes out in its order: what is in memory is older than what is in the file.

    Args:
        most: bytes of the file, in which it is compressed. Beyond that the reading waits, as it
            does where the disk is full.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._memory: deque[bytes] = deque()
        self._held = 0
        self._spilled: deque[_Where] = deque()
        self._file: IO[bytes] | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        """Held while a thread is at the file: whoever goes away does not close it under one."""
        self._failure: BaseException | None = None
        self._ended = False
        self._more, self._less = asyncio.Event(), asyncio.Event()

    async def fill(self, parts: AsyncIterator[bytes]) -> None:
        """Read all there is; what goes wrong is told once everything before it was taken."""
        waiting = bytearray()
        try:
            async for part in parts:
                waiting += part
                if len(waiting) >= _CHUNK or not self._memory:
                    await self._put(bytes(waiting))
                    waiting.clear()
        except Exception as error:
            self._failure = error
        await self._put(bytes(waiting))
        self._ended = True
        self._more.set()

    async def take(self) -> AsyncIterator[bytes]:
        """What was read, as it comes."""
        while True:
            self._more.clear()
            if self._memory:
                part = self._memory.popleft()
                self._held -= len(part)
            elif self._spilled:
                part = await asyncio.to_thread(self._read, *self._spilled[0])
                self._spilled.popleft()
            elif self._ended:
                break
            else:
                await self._more.wait()
                continue
            self._less.set()
            yield part
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()

    async def _put(self, part: bytes) -> None:
        while self._spilled or self._held + len(part) > _IN_MEMORY:
            if not self._memory and not self._spilled:
                break  # larger than what is held in memory, and nobody is before it
            self._less.clear()
            if await self._spill(part):
                return
            await self._less.wait()
        self._memory.append(part)
        self._held += len(part)
        self._more.set()

    async def _spill(self, part: bytes) -> bool:
        """Write it to the file; False where it has to wait for a reader."""
        begin = sum(self._spilled[-1]) if self._spilled else 0  # all was taken: it begins anew
        if begin >= self._most:
            return False
        try:
            length = await asyncio.to_thread(self._write, part, begin)
        except OSError:  # the disk is full
            return False
        self._spilled.append((begin, length))
        self._more.set()
        return True

    def _write(self, part: bytes, begin: int) -> int:
        packed = zlib.compress(part, _FAST)
        with self._lock:
            self._open().seek(begin)
            self._open().write(packed)
            self._open().flush()  # here it is told that the disk is full
        return len(packed)

    def _read(self, begin: int, length: int) -> bytes:
        with self._lock:
            self._open().seek(begin)
            return zlib.decompress(self._open().read(length))

    def _open(self) -> IO[bytes]:
        """The file. Nobody else can open it, and it ends with the process."""
        if self._is_closed:
            raise ValueError("it was given back")
        if self._file is None:
            self._file = TemporaryFile(prefix="satchel-export-")  # noqa: SIM115  # by `close`
        return self._file


async def spooled(parts: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The same parts, read ahead of whoever takes them.

    Args:
        parts: what is read.
        most: bytes that may be in a file.
    """
    spool = Spool(most)
    filling = asyncio.create_task(spool.fill(parts))
    try:
        async with aclosing(spool.take()) as taken:  # type: ignore[type-var]
            async for part in taken:
                yield part
    finally:
        filling.cancel()
        with suppress(asyncio.CancelledError):
            await filling
        spool.close()
