"""The secrets that accounts' webhooks are signed by: derived from one key of the server, and stored
nowhere."""

from base64 import b64encode
from typing import Any, Final

from bson import ObjectId

from app.outside.key_files import derived
from app.settings import Settings
from app.settings.private_files import read_master

PREFIX: Final = "whsec_"


class WebhookKeys:
    """Derives the secret of each account and rotation (HKDF-SHA256, RFC 5869)."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def __repr__(self) -> str:
        return "WebhookKeys()"

    def secret(self, account_id: ObjectId, rotation: int) -> str:
        """An account's secret as it is shown, this once: `whsec_` and base64 of 32 bytes (Standard
        Webhooks)."""
        return PREFIX + b64encode(self.key(account_id, rotation)).decode()

    def key(self, account_id: ObjectId, rotation: int) -> bytes:
        """The key that the account's webhook is signed with."""
        return derived(self._master, f"satchel webhook {account_id} {rotation}".encode())


def load_webhook_keys(settings: Settings) -> WebhookKeys:
    """The keys that the configured file gives; in development a missing file is made.

    Raises:
        ValueError: the file holds less than 32 bytes.
        FileNotFoundError: production, and the file is not there.
    """
    return WebhookKeys(
        read_master(settings.webhook_key_path, make=settings.environment == "development")
    )


def webhook_keys(scope: Any) -> WebhookKeys:
    """The keys of the process that serves this request."""
    found: WebhookKeys = scope["app"].state.webhook_keys
    return found
