"""Access tokens: Ed25519 JWTs that name a user (RFC 7519, RFC 8037), and the key set that verifies them."""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jwt
import orjson
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.settings import Settings

_ALGORITHM: Final = "EdDSA"
_REQUIRED: Final = ["exp", "iat", "iss", "aud", "sub", "sid"]


class InvalidToken(Exception):
    """The token is not one of ours, or its time is over."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: user, session, the one app it is bound to if any, `expires_at` in Unix seconds."""

    user_id: ObjectId
    session_id: str
    app_id: str | None
    roles: tuple[str, ...]
    expires_at: float


class Tokens:
    """Mints and verifies access tokens with one Ed25519 key."""

    def __init__(self, settings: Settings, key: Ed25519PrivateKey) -> None:
        self._settings = settings
        self._private = key
        self._public = key.public_key()
        raw = self._public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._x = _base64url(raw)
        self.kid = _thumbprint(self._x)

    def mint(
        self,
        user_id: ObjectId,
        *,
        issued_at: float,
        app_id: str | None = None,
        roles: tuple[str, ...] = (),
        session_id: str | None = None,
    ) -> tuple[str, int]:
        """A token for a user and its life in seconds.

        Args:
            user_id: whom it names.
            issued_at: Unix seconds.
            app_id: the only app whose data it reaches.
            roles: the user's roles as they are now.
            session_id: 24 hex digits; new ones if None.
        """
        lifetime = self._settings.token_lifetime_seconds
        claims: dict[str, Any] = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "sub": str(user_id),
            "sid": session_id or secrets.token_hex(12),
            "roles": list(roles),
            "iat": int(issued_at),
            "exp": int(issued_at) + lifetime,
        }
        if app_id is not None:
            claims["appId"] = app_id
        return jwt.encode(claims, self._private, _ALGORITHM, {"kid": self.kid}), lifetime

    def verify(self, token: str) -> Claims:
        """What the token says.

        Raises:
            InvalidToken: wrong signature, algorithm, issuer, audience or form, or expired.
        """
        try:
            claims = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                issuer=self._settings.token_issuer,
                audience=self._settings.token_audience,
                options={"require": _REQUIRED},
            )
            return Claims(
                user_id=ObjectId(claims["sub"]),
                session_id=str(claims["sid"]),
                app_id=claims.get("appId"),
                roles=tuple(claims.get("roles", ())),
                expires_at=float(claims["exp"]),
            )
        except Exception as error:  # whatever a forged token provokes in the parsers, it is not valid
            raise InvalidToken from error

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517)."""
        key = {"kty": "OKP", "crv": "Ed25519", "alg": _ALGORITHM, "use": "sig", "kid": self.kid, "x": self._x}
        return {"keys": [key]}


def load_tokens(settings: Settings) -> Tokens:
    """Tokens signed by the configured key; in development a missing key file is made.

    Raises:
        ValueError: the file holds no Ed25519 private key.
        FileNotFoundError: production, and the file is not there.
    """
    path = settings.token_key_path
    if not path.exists() and settings.environment == "development":
        _make_key(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 private key")
    return Tokens(settings, key)


def _make_key(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_bytes(pem)
    try:
        path.hardlink_to(fresh)  # another process may have made the key meanwhile: the first one stays
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _thumbprint(x: str) -> str:
    """The key's id: its thumbprint (RFC 7638, RFC 8037)."""
    return _base64url(sha256(orjson.dumps({"crv": "Ed25519", "kty": "OKP", "x": x})).digest())
