"""A person's data of one app: read from what is kept here, written through an outbox, kept in step
with the server."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from satchel_client.errors import SatchelError, SignedOut, Unreachable
from satchel_client.keeping import Keeping
from satchel_client.session import AsyncSession, Session

_WAIT: Final = 25
_PASSING: Final = (Unreachable, SatchelError, SignedOut)
"""What may be over in a while: then what waits is sent, without being asked to."""


class Store(Keeping):
    """The data of the person who is signed in, of one app, for programs that wait.

    Args:
        session: whose.
        app_id: which app's.
        on_conflict: decides what becomes of a value that was changed here and elsewhere at once;
            `merge_fields` is one that suits many. There is no default, since no answer suits every
            app.
        on_refused: is told of changes that the server will never take.
        folder: where the data is kept between runs; in memory if not said.
    """

    def __init__(self, session: Session, app_id: str, **options: Any) -> None:
        super().__init__(session, app_id, **options)
        self._session = session
        self._turn = threading.Lock()
        self._bell, self._ended = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def flush(self) -> None:
        """Send what waits and fetch what is new, and return when both are done.

        Raises:
            Unreachable, SignedOut, SatchelError: that cannot be done now. Nothing is lost.
        """
        with self._turn:
            self._session.run(self.flush_flow())

    def start(self) -> None:
        """Keep in step in the background, until `close`: two threads, one that sends and one that
        waits for changes."""
        for work in (self._sending, self._following):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop keeping in step. What was not sent stays, for the next time."""
        self._ended.set()
        self._bell.set()
        with self._turn:
            self._cache.close()

    def leave(self) -> None:
        """Forget the person's data."""
        self._ended.set()
        self._bell.set()
        self._cache.drop()

    def _wake(self) -> None:
        self._bell.set()

    def _sending(self) -> None:
        pause = 0.5
        while not self._ended.is_set():
            self._bell.clear()
            try:
                if self._cache.pending():
                    self.flush()
                pause = 0.5
                self._bell.wait()
            except _PASSING:
                self._ended.wait(pause)
                self._bell.set()
                pause = min(30.0, pause * 2)
            except Exception:
                if self._ended.is_set():
                    return
                raise

    def _following(self) -> None:
        pause = 0.5
        while not self._ended.is_set():
            try:
                self._session.run(self.pull_flow(wait=_WAIT))
                pause = 0.5
            except _PASSING:
                self._ended.wait(pause)
                pause = min(30.0, pause * 2)
            except Exception:
                if self._ended.is_set():
                    return
                raise


class AsyncStore(Keeping):
    """The same for programs that await: reading and writing is at once, `flush` and keeping in step
    are awaited.

    Args:
        session: whose.
        app_id: which app's.
        on_conflict: as of `Store`; it may be a coroutine function.
        on_refused: is told of changes that the server will never take.
        folder: where the data is kept between runs; in memory if not said.
    """

    def __init__(self, session: AsyncSession, app_id: str, **options: Any) -> None:
        super().__init__(session, app_id, **options)
        self._session = session
        self._turn = asyncio.Lock()
        self._bell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def flush(self) -> None:
        """Send what waits and fetch what is new, and return when both are done.

        Raises:
            Unreachable, SignedOut, SatchelError: that cannot be done now. Nothing is lost.
        """
        async with self._turn:
            await self._session.run(self.flush_flow())

    def start(self) -> None:
        """Keep in step in the background, until `close`."""
        self._tasks = [
            asyncio.create_task(self._again(work)) for work in (self._send, self._follow)
        ]

    async def close(self) -> None:
        """Stop keeping in step. What was not sent stays, for the next time."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._cache.close()

    def leave(self) -> None:
        """Forget the person's data."""
        for task in self._tasks:
            task.cancel()
        self._cache.drop()

    def _wake(self) -> None:
        self._bell.set()

    async def _send(self) -> None:
        self._bell.clear()
        if self._cache.pending():
            await self.flush()
        await self._bell.wait()

    async def _follow(self) -> None:
        await self._session.run(self.pull_flow(wait=_WAIT))

    async def _again(self, work: Callable[[], Any]) -> None:
        pause = 0.5
        while True:
            try:
                await work()
                pause = 0.5
            except _PASSING:
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)
