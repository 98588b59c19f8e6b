"""The master secret, and the keys that are derived from it, one for each purpose (HKDF, RFC
5869)."""

import hmac
from hashlib import sha256

from app.outside.key_files import derived
from app.settings import Settings
from app.settings.private_files import read_master


class MasterSecret:
    """Gives each purpose a key of its own, from which neither the secret nor another key can be
    learnt."""

    def __init__(self, material: bytes) -> None:
        self._material = material

    def key(self, purpose: str) -> bytes:
        """The 256-bit key of a purpose."""
        return derived(self._material, purpose.encode(), salt=b"satchel")


def load_secret(settings: Settings) -> MasterSecret:
    """The configured master secret; in development a missing file is made.

    Raises:
        ValueError: it has fewer than 32 bytes.
        FileNotFoundError: production, and the file is not there.
    """
    return MasterSecret(
        read_master(settings.secret_key_path, make=settings.environment == "development")
    )


def keyed_hash(key: bytes, *parts: str | bytes) -> bytes:
    """HMAC-SHA256 of several parts, each with its length before it, so that no two lists of parts
    run together."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return hmac.digest(
        key, b"".join(len(part).to_bytes(4, "big") + part for part in encoded), sha256
    )
