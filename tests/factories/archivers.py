"""Archivers that are stopped where a test wants it."""

import asyncio
from typing import Any


class Gate:
    """Holds up the first call of a function until it is opened; later calls pass."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        if not self.reached.is_set():
            self.reached.set()
            await self.open.wait()
        return await self.real(*args)
