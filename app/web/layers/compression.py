"""Answers packed for whoever takes them packed (RFC 9110, sections 8.4 and 12.5.3): zstd or gzip,
from 1 KiB on.

Starlette's layer does the packing, streams among it; here stand the choice, zstd, the tags and what
is never packed.
"""

from functools import lru_cache
from typing import Final

import anyio.to_thread
import zstandard
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.etags import CODINGS, coded
from app.web.observability import route_template

MINIMUM: Final = 1024
"""Bytes from which an answer is packed: below, a packet more or less is not saved."""
THREAD_MINIMUM: Final = 32 * 1024
"""Bytes from which that is a thread's work, so that other requests are not held up."""
SECRET_ANSWERS: Final = frozenset(
    {
        "POST /v1/accounts",
        "POST /v1/accounts/{accountId}/webhook-secret",
        "POST /v1/api-keys",
        "POST /v1/api-keys/{keyId}/rotate",
        "POST /v1/auth/oidc/{provider}",
        "POST /v1/auth/guests",
        "POST /v1/auth/otp/verify",
        "POST /v1/auth/refresh",
        "POST /v1/users/{userId}/sessions",
    }
)
"""Operations that answer with tokens or keys: the length of a packed answer tells of what is in it
(BREACH)."""

_IDENTITY: Final = "identity"
_LONGEST_REMEMBERED: Final = 200
_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


class Compressed:
    """Packs what an application answers, and says by `Vary` that it depends on what the client
    takes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        accepted = b",".join(
            value for name, value in scope["headers"] if name == b"accept-encoding"
        )
        responder = _responder(self.app, *choose(accepted))
        responder.send = _tagging(send)
        out: Send = send

        async def sent(message: Message) -> None:
            nonlocal out
            if message["type"] == "http.response.start":
                is_secret = f"{scope['method']} {route_template(scope)}" in SECRET_ANSWERS
                out = send if is_secret else responder.send_with_compression
                # they are changed where they stand
                message = {**message, "headers": [*message["headers"]]}
            await out(message)

        await self.app(scope, receive, sent)


def choose(accepted: bytes) -> tuple[str | None, int]:
    """How to pack an answer, and from how many bytes on: `("zstd", 1024)`.

    The coding that the client likes best of ours; None where it likes the plain answer better, or
    takes none. Who takes nothing plain gets the smallest packed; who takes neither gets it plain
    all the same.

    Args:
        accepted: its `Accept-Encoding`, several lines joined; empty where it sent none, and takes
            what is plain.
    """
    return _remembered(accepted) if len(accepted) <= _LONGEST_REMEMBERED else _choice(accepted)


def _choice(accepted: bytes) -> tuple[str | None, int]:
    weights = _weights(accepted)
    # everybody knows gzip
    liked = {"zstd": weights.get("zstd", 0), "gzip": weights.get("gzip", weights.get("*", 0))}
    best = max(CODINGS, key=liked.__getitem__)  # the first of equals
    if liked[best] == 0 or liked[best] < weights.get(_IDENTITY, 0):
        return None, MINIMUM
    return best, 1 if weights.get(_IDENTITY, weights.get("*", 1)) == 0 else MINIMUM


_remembered: Final = lru_cache(maxsize=256)(_choice)


def _weights(accepted: bytes) -> dict[str, float]:
    """The weight of each coding that a client names, of 0 to 1. What is malformed is left out."""
    weights: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((found[2:] for found in parameters if found.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            continue
        if name and 0 <= weight <= 1:
            weights["gzip" if name == "x-gzip" else name] = weight
    return weights


def _responder(app: ASGIApp, coding: str | None, minimum: int) -> IdentityResponder:
    if coding == "zstd":
        return _ZstdResponder(app, minimum)
    if coding == "gzip":
        return GZipResponder(app, minimum, _GZIP_LEVEL, thread_minimum_size=THREAD_MINIMUM)
    return IdentityResponder(app, minimum)


class _ZstdResponder(IdentityResponder):
    content_encoding = "zstd"
    _stream: "zstandard.ZstdCompressionObj | None" = None

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) >= THREAD_MINIMUM:
            return await anyio.to_thread.run_sync(self._pack, body, more_body)
        return self._pack(body, more_body)

    def _pack(self, body: bytes, more_body: bool) -> bytes:
        """A whole body, or the next part of a stream, which the client can read as far as it has
        come."""
        if self._stream is None:
            packer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
            if not more_body:
                return packer.compress(body)
            self._stream = packer.compressobj()
        how = zstandard.COMPRESSOBJ_FLUSH_BLOCK if more_body else zstandard.COMPRESSOBJ_FLUSH_FINISH
        return self._stream.compress(body) + self._stream.flush(how)


def _tagging(send: Send) -> Send:
    """`send`, with the tag of what is packed saying so: other bytes, another strong tag (RFC 9110,
    8.8.3.3)."""

    async def tagging(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            if message["status"] == 304:
                headers.add_vary_header("Accept-Encoding")
            if (coding := headers.get("content-encoding")) in CODINGS:
                if "etag" in headers:
                    headers["etag"] = coded(headers["etag"], coding)
                if "accept-ranges" in headers:
                    del headers["accept-ranges"]  # ranges are of the plain bytes
        await send(message)

    return tagging
