"""Calls of the API as the demo makes them: many at once, patient with a busy server, never twice as
much work."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx2

_ATTEMPTS: Final = 10


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class Api:
    """A Satchel at an address. So many calls at once as it has clients."""

    def __init__(self, url: str, clients: list[httpx2.AsyncClient]) -> None:
        self.url = url
        # one connection each: httpx2's pool of many costs twice the time of the call itself
        self._free = clients

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        params: dict[str, str] | None = None,
        known: tuple[int, ...] = (),
    ) -> httpx2.Response:
        """One request, sent again while the server is too busy.

        Args:
            method: of HTTP.
            path: from `/v1` on.
            body: sent as JSON, unless None.
            headers: besides the credentials.
            params: of the query.
            known: statuses that are an answer too, besides those of success.

        Raises:
            DemoError: there is no answer, or one of another status.
        """
        client = self._free.pop()
        try:
            for _ in range(_ATTEMPTS):
                answer = await client.request(
                    method, path, json=body, headers=headers, params=params
                )
                if answer.is_success or answer.status_code in known:
                    return answer
                if answer.status_code not in (429, 503):
                    break
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
        except httpx2.TransportError as error:
            raise DemoError(
                f"No Satchel answers at {self.url}: {error or type(error).__name__}"
            ) from None
        finally:
            self._free.append(client)
        raise DemoError(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")


@asynccontextmanager
async def connected(url: str, key: str, at_once: int) -> AsyncIterator[Api]:
    """The API at this address, called with this key, while the block lasts."""
    headers, trust = {"Authorization": f"Bearer {key}"}, ssl.create_default_context()
    async with AsyncExitStack() as stack:
        clients = [
            httpx2.AsyncClient(base_url=url, headers=headers, verify=trust, timeout=60)
            for _ in range(at_once)
        ]
        for client in clients:
            await stack.enter_async_context(client)
        yield Api(url, clients)
