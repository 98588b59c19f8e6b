"""Signatures of webhooks, ours and others': HMAC-SHA256, compared in constant time, and how OpenAPI
is told of them."""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import APIKeyHeader

from app.errors import Unauthenticated
from app.errors.codes import Code
from models.clock import CLOCK


class BadSignature(Unauthenticated):
    """The delivery is not signed as it must be."""

    code = Code.BAD_SIGNATURE

    def __init__(self) -> None:
        super().__init__("the signature of this delivery is not valid")
        self.headers = {"WWW-Authenticate": "Signature"}


def signature(secret: str, message: bytes) -> str:
    """The hex HMAC-SHA256 of a message."""
    return hmac.new(secret.encode(), message, sha256).hexdigest()


class Signing:
    """The HMAC-SHA256 of a message that comes in parts, by each of some secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._made = [hmac.new(secret.encode(), digestmod=sha256) for secret in secrets if secret]

    def add(self, part: bytes) -> None:
        """Take the next part of the message."""
        for made in self._made:
            made.update(part)

    def gave(self, signature: str) -> bool:
        """Whether a hex signature is of the whole message, by any of the secrets."""
        given = signature.encode("utf-8", "replace")
        return any(hmac.compare_digest(given, made.hexdigest().encode()) for made in self._made)


def standard_webhook(message_id: str, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """The headers of a webhook by Standard Webhooks 1.0.0: id, time in Unix seconds, a signature by
    each key."""
    timestamp = str(int(CLOCK.time()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def is_signed(message: bytes, signatures: Iterable[str], secrets: Iterable[str]) -> bool:
    """Whether any of the signatures was made of this message with any of the secrets."""
    given = [text.encode("utf-8", "replace") for text in signatures]
    made = [signature(secret, message).encode() for secret in secrets if secret]
    return any(hmac.compare_digest(one, other) for one in given for other in made)


def is_token(given: str, secrets: Iterable[str]) -> bool:
    """Whether a token is one of the secrets."""
    return any(
        hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
        for secret in secrets
        if secret
    )


_scheme = APIKeyHeader(name="X-Hub-Signature-256", scheme_name="WebhookSignature", auto_error=False)
Signed = Annotated[Any, Depends(_scheme)]
"""Marks a route whose callers are known by the signature of what they deliver."""
