"""The client of a soak: asks until it is answered, as apps do, so that what was done in the end is
known."""

import asyncio
import secrets
from collections import Counter
from typing import Any, Final

import httpx2

_AGAIN: Final = frozenset({409, 429, 502, 503, 504})
_PAUSE: Final = 0.5
_TIMEOUT: Final = 12.0


class Client:
    """Asks the server. `faults` are answers that no client should get; `statuses` counts all
    answers."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=False
        )
        self.statuses: Counter[int | str] = Counter()
        self.faults: list[str] = []

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, *, once: bool = False, **options: Any
    ) -> httpx2.Response:
        """Ask until there is an answer that says what became of it.

        Args:
            method: of the request.
            path: of the request.
            once: send an Idempotency-Key, so that a repeat does nothing twice.
            options: of httpx2.
        """
        headers = {"Idempotency-Key": secrets.token_hex(12)} if once else {}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        while True:
            try:
                answer = await self._http.request(method, path, headers=headers, **options)
            except httpx2.TransportError as error:
                self.statuses[type(error).__name__] += 1
                await asyncio.sleep(_PAUSE)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code not in _AGAIN:
                if answer.status_code >= 500:
                    self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                return answer
            await asyncio.sleep(float(answer.headers.get("Retry-After", _PAUSE)))
