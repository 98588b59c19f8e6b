"""The keys that sign access tokens: a PEM file with one or more Ed25519 keys, the last of which
signs."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.settings import Settings
from app.settings.private_files import alone, append, keep_first, replace
from models.base import now

LONGEST_TOKEN: Final = timedelta(hours=1, minutes=1)
"""A key verifies for this long after another took its place: the longest life of a token, and a
minute."""
_BLOCK: Final = re.compile(
    rb"(?:Made: (?P<made>[0-9TZ:.+-]+)\s+)?"
    rb"(?P<pem>-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END PRIVATE KEY-----)"
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. `made` is when a rotation made it; None where somebody else did."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    kid: str
    x: str
    made: datetime | None
    pem: bytes

    def jwk(self) -> dict[str, Any]:
        """The public key (RFC 7517, RFC 8037)."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.kid,
            "x": self.x,
        }


def read_keys(path: Path) -> list[SigningKey]:
    """Every key of the file, the signing one last.

    Raises:
        ValueError: the file holds no key, or one that is no Ed25519 private key.
        FileNotFoundError: it is not there.
    """
    keys = list(_keys(path))
    if not keys:
        raise ValueError(f"{path} holds no Ed25519 private key")
    return keys


def living(keys: list[SigningKey], moment: datetime) -> list[SigningKey]:
    """The keys that tokens may still be signed by: those that another replaced less than an hour
    ago, and the last."""
    kept = []
    for key, following in pairwise(keys):
        if following.made is None or moment < following.made + LONGEST_TOKEN:
            kept.append(key)
    return [*kept, keys[-1]]


def ensure_keys(settings: Settings) -> list[SigningKey]:
    """The configured keys; in development a missing file is made.

    Raises:
        ValueError: the file holds something else.
        FileNotFoundError: production, and the file is not there.
    """
    path = settings.token_key_path
    if not path.exists() and settings.environment == "development":
        keep_first(path, _new_block())
    return read_keys(path)


def rotate(path: Path) -> SigningKey:
    """Add a key, which signs from now on; the ones before it verify until their tokens are dead."""
    with alone(path):
        read_keys(path)
        append(path, b"\n" + _new_block())
        return read_keys(path)[-1]


def prune(path: Path) -> int:
    """Remove the keys that verify nothing any more; how many those were."""
    with alone(path):
        keys = read_keys(path)
        kept = living(keys, now())
        if len(kept) < len(keys):
            replace(path, b"\n".join(_block(key.made, key.pem) for key in kept))
    return len(keys) - len(kept)


def _keys(path: Path) -> Iterator[SigningKey]:
    for found in _BLOCK.finditer(path.read_bytes()):
        pem = found["pem"] + b"\n"
        private = load_pem_private_key(pem, password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{path} holds a key that is no Ed25519 private key")
        public = private.public_key()
        x = _base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        made = datetime.fromisoformat(found["made"].decode()) if found["made"] else None
        yield SigningKey(private, public, _thumbprint(x), x, made, pem)


def _new_block() -> bytes:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return _block(now().replace(microsecond=0), pem)


def _block(made: datetime | None, pem: bytes) -> bytes:
    return (f"Made: {made.isoformat()}\n".encode() if made else b"") + pem


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _thumbprint(x: str) -> str:
    """The key's id: its thumbprint (RFC 7638, RFC 8037)."""
    return _base64url(sha256(orjson.dumps({"crv": "Ed25519", "kty": "OKP", "x": x})).digest())
