"""The secrets that accounts' webhooks are signed by: derived from one key of the server, and stored nowhere."""

import secrets
from base64 import b64encode
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any, Final

from bson import ObjectId
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings

PREFIX: Final = "whsec_"
_LEAST: Final = 32


class WebhookKeys:
    """Derives the secret of each account and rotation (HKDF-SHA256, RFC 5869)."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def __repr__(self) -> str:
        return "WebhookKeys()"

    def secret(self, account_id: ObjectId, rotation: int) -> str:
        """An account's secret as it is shown, this once: `whsec_` and base64 of 32 bytes (Standard Webhooks)."""
        return PREFIX + b64encode(self._derive(account_id, rotation)).decode()

    def signature(self, account_id: ObjectId, rotation: int, message_id: str, timestamp: int, body: bytes) -> str:
        """`v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body` (Standard Webhooks).

        Args:
            account_id: whose webhook it is.
            rotation: which of its secrets.
            message_id: sent as `webhook-id`.
            timestamp: sent as `webhook-timestamp`, Unix seconds.
            body: as sent.
        """
        signed = f"{message_id}.{timestamp}.".encode() + body
        return "v1," + b64encode(digest(self._derive(account_id, rotation), signed, sha256)).decode()

    def _derive(self, account_id: ObjectId, rotation: int) -> bytes:
        info = f"satchel webhook {account_id} {rotation}".encode()
        return HKDF(SHA256(), length=32, salt=None, info=info).derive(self._master)


def load_webhook_keys(settings: Settings) -> WebhookKeys:
    """The keys that the configured file gives; in development a missing file is made.

    Raises:
        ValueError: the file holds less than 32 bytes.
        FileNotFoundError: production, and the file is not there.
    """
    path = settings.webhook_key_path
    if not path.exists() and settings.environment == "development":
        _make_key(path)
    master = path.read_bytes().strip()
    if len(master) < _LEAST:
        raise ValueError(f"{path} holds less than {_LEAST} bytes")
    return WebhookKeys(master)


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(secrets.token_urlsafe(48))
    try:
        path.hardlink_to(fresh)  # another process may have made the key meanwhile: the first one stays
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def webhook_keys(scope: Any) -> WebhookKeys:
    """The keys of the process that serves this request."""
    found: WebhookKeys = scope["app"].state.webhook_keys
    return found
