"""A person's data of one app: read from what is kept here, written through an outbox, kept in step
with the server."""

import asyncio
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from satchel_client.errors import SatchelError, SignedOut, Unreachable
from satchel_client.keeping import Keeping, OnRefused
from satchel_client.live import Listening, Pauses
from satchel_client.session import AsyncSession, Session
from satchel_client.values import OnConflict, OnConflictAwaited

_LOG: Final = logging.getLogger("satchel_client")
_POLL: Final = 60.0
"""Seconds after which it is asked though nobody has told of anything."""
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
        stream: False to hear of changes by questions that wait alone, not by the server's stream.
    """

    def __init__(
        self,
        session: Session,
        app_id: str,
        *,
        on_conflict: OnConflict,
        on_refused: OnRefused | None = None,
        folder: Path | str | None = None,
        stream: bool = True,
    ) -> None:
        super().__init__(
            session,
            app_id,
            on_conflict=on_conflict,
            on_refused=on_refused,
            folder=folder,
            stream=stream,
        )
        self._session = session
        self._turn = threading.Lock()
        self._bell, self._ended = threading.Event(), threading.Event()
        self._listening = Listening(self._poke)
        self._threads: list[threading.Thread] = []

    def flush(self) -> None:
        """Send what waits and fetch what is new, and return when both are done.

        Raises:
            Unreachable, SignedOut, SatchelError: that cannot be done now. Nothing is lost.
        """
        with self._turn:
            self._session.run(self.flush_flow())

    def start(self) -> None:
        """Keep in step in the background, until `close`: two threads, one that sends and fetches,
        and one that listens for changes."""
        for work in (self._working, self._following):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop keeping in step. What was not sent stays, for the next time."""
        self._end()
        with self._turn:
            self._closed()

    def leave(self) -> None:
        """Forget the person's data."""
        self._end()
        self._cache.drop()

    def _end(self) -> None:
        self._ended.set()
        self._bell.set()
        self._listening.stop()

    def _wake(self) -> None:
        self._bell.set()

    def _poke(self) -> None:
        self.stale = True
        self._wake()

    def _working(self) -> None:
        pauses = Pauses()
        while not self._ended.is_set():
            self._bell.clear()
            try:
                with self._turn:
                    if not self._ended.is_set():
                        self._session.run(self.round_flow())
                pauses.reset()
                if not self._bell.wait(_POLL):
                    self.stale = True
            except Exception as error:
                if self._ended.is_set():
                    return
                _report(error)
                self._ended.wait(pauses.next(error))

    def _following(self) -> None:
        try:
            self._session.run(self.follow_flow(self._listening))
        except Exception:
            if not self._ended.is_set():
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
        stream: as of `Store`.
    """

    def __init__(
        self,
        session: AsyncSession,
        app_id: str,
        *,
        on_conflict: OnConflict | OnConflictAwaited,
        on_refused: OnRefused | None = None,
        folder: Path | str | None = None,
        stream: bool = True,
    ) -> None:
        super().__init__(
            session,
            app_id,
            on_conflict=on_conflict,
            on_refused=on_refused,
            folder=folder,
            stream=stream,
        )
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
        self._tasks = [asyncio.create_task(work()) for work in (self._working, self._following)]

    async def close(self) -> None:
        """Stop keeping in step. What was not sent stays, for the next time."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._closed()

    def leave(self) -> None:
        """Forget the person's data."""
        self._end()
        self._cache.drop()

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _wake(self) -> None:
        self._bell.set()

    def _poke(self) -> None:
        self.stale = True
        self._wake()

    async def _working(self) -> None:
        pauses = Pauses()
        while True:
            self._bell.clear()
            try:
                async with self._turn:
                    await self._session.run(self.round_flow())
                pauses.reset()
                try:
                    async with asyncio.timeout(_POLL):
                        await self._bell.wait()
                except TimeoutError:
                    self.stale = True
            except Exception as error:
                _report(error)
                await asyncio.sleep(pauses.next(error))

    async def _following(self) -> None:
        await self._session.run(self.follow_flow(Listening(self._poke)))


def _report(error: Exception) -> None:
    """Say what is no passing trouble, such as an error of the app's own `on_conflict`; it is tried
    again all the same."""
    if not isinstance(error, _PASSING):
        _LOG.error("keeping in step failed, and is tried again", exc_info=error)
