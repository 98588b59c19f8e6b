"""Access tokens: Ed25519 JWTs that name a user (RFC 7519, RFC 8037), and the key set that verifies
them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import jwt
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.types import Options

from app.identity.signing_keys import SigningKey, ensure_keys, living, read_keys
from app.outside.key_files import Watched
from app.settings import Settings
from models.base import now
from models.clock import CLOCK

_ALGORITHM: Final = "EdDSA"
_OTHER_PROCESS: Final = 1.0  # seconds: two processes measure the database's clock, each not quite
_REQUIRED: Final = ["exp", "iat", "iss", "aud", "sub", "sid"]
_LOOK_EVERY: Final = 10.0
_LOOK_FOR_UNKNOWN_EVERY: Final = 1.0


def server_sid(session_id: ObjectId) -> str:
    """The `sid` of a token that a server asked for: the id of no stored session, and told from one
    by its form."""
    return f"server-{session_id}"


def is_in_force(claims: Mapping[str, Any], leeway: float = 0) -> bool:
    """Whether a token's times (`exp`, and `iat` and `nbf` where they are there) hold by the
    database's clock.

    Args:
        claims: of a token.
        leeway: seconds by which its issuer's clock may be another.

    Raises:
        ValueError, TypeError: a time is no number.
    """
    moment, ends = CLOCK.time(), float(claims["exp"])
    begins = max(float(claims.get(name, 0)) for name in ("iat", "nbf"))
    return (
        isfinite(ends) and begins <= moment + max(leeway, _OTHER_PROCESS) and moment - leeway < ends
    )


def by_our_clock(required: list[str]) -> Options:
    """PyJWT's options for whoever compares the times of a token with `CLOCK`: it knows the
    machine's clock only."""
    return {"require": required, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


class InvalidToken(Exception):
    """The token is not one of ours, or its time is over."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: user, session, the one app it is bound to if any, times in Unix
    seconds.

    Of a token that a server asked for, `by_admin` says that the server's key was an admin's, and
    `key_id` which it was.
    """

    user_id: ObjectId
    session_id: str
    app_id: str | None
    roles: tuple[str, ...]
    issued_at: float
    expires_at: float
    by_admin: bool = False
    key_id: ObjectId | None = None


class Tokens:
    """Mints and verifies access tokens with the keys of a file, which it looks at again every few
    seconds."""

    def __init__(self, settings: Settings, keys: Watched[list[SigningKey]]) -> None:
        self._settings = settings
        self._keys = keys

    @property
    def kid(self) -> str:
        """Id of the key that signs."""
        return self._signing_key().kid

    @property
    def _private(self) -> Ed25519PrivateKey:
        return self._signing_key().private

    def mint(
        self,
        user_id: ObjectId,
        *,
        issued_at: float,
        app_id: str | None = None,
        roles: tuple[str, ...] = (),
        session_id: ObjectId | None = None,
        server_session: ObjectId | None = None,
        by_admin: bool = False,
        key_id: ObjectId | None = None,
    ) -> tuple[str, int]:
        """A token for a user and its life in seconds.

        Args:
            user_id: whom it names.
            issued_at: Unix seconds.
            app_id: the only app whose data it reaches.
            roles: the user's roles as they are now.
            session_id: the stored session that it belongs to; None for one that a server asks for,
                which has none.
            server_session: names a token without a stored session, whose `sid` is made of it; a new
                one if None.
            by_admin: an admin asked for it; without that, a token without a stored session is never
                an admin's.
            key_id: the key that asked for it, without which it does nothing that outlives it.
        """
        lifetime = self._settings.token_lifetime_seconds
        claims: dict[str, Any] = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "sub": str(user_id),
            "sid": str(session_id) if session_id else server_sid(server_session or ObjectId()),
            "roles": list(roles),
            "iat": int(issued_at),
            "exp": int(issued_at) + lifetime,
        }
        if by_admin and session_id is None:
            claims["byAdmin"] = True
        if key_id is not None and session_id is None:
            claims["keyId"] = str(key_id)
        if app_id is not None:
            claims["appId"] = app_id
        key = self._signing_key()
        return jwt.encode(claims, key.private, _ALGORITHM, {"kid": key.kid}), lifetime

    def verify(self, token: str) -> Claims:
        """What the token says.

        Raises:
            InvalidToken: wrong signature, algorithm, issuer, audience or form, or expired.
        """
        try:
            claims = jwt.decode(
                token,
                self._key_of(token).public,
                algorithms=[_ALGORITHM],
                issuer=self._settings.token_issuer,
                audience=self._settings.token_audience,
                options=by_our_clock(_REQUIRED),
            )
            if not is_in_force(claims):
                raise InvalidToken
            return Claims(
                user_id=ObjectId(claims["sub"]),
                session_id=str(claims["sid"]),
                app_id=claims.get("appId"),
                roles=tuple(claims.get("roles", ())),
                issued_at=float(claims["iat"]),
                expires_at=float(claims["exp"]),
                by_admin=claims.get("byAdmin") is True,
                key_id=ObjectId(claims["keyId"]) if "keyId" in claims else None,
            )
        except (
            Exception
        ) as error:  # whatever a forged token provokes in the parsers, it is not valid
            raise InvalidToken from error

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517): the key that signs, and those whose tokens may be
        alive."""
        return {
            "keys": [key.jwk() for key in reversed(living(self._keys.look(_LOOK_EVERY), now()))]
        }

    def _signing_key(self) -> SigningKey:
        return self._keys.look(_LOOK_EVERY)[-1]

    def _key_of(self, token: str) -> SigningKey:
        """The key that a token says it is signed by; one without a `kid` has to be signed by the
        current one."""
        kid = jwt.get_unverified_header(token).get("kid")
        if kid is None:
            return self._signing_key()
        for every in (_LOOK_EVERY, _LOOK_FOR_UNKNOWN_EVERY):  # another process may have rotated
            for key in living(self._keys.look(every), now()):
                if key.kid == kid:
                    return key
        raise InvalidToken


def load_tokens(settings: Settings) -> Tokens:
    """Tokens signed by the configured keys; in development a missing key file is made.

    Raises:
        ValueError: the file holds no Ed25519 private key.
        FileNotFoundError: production, and the file is not there.
    """
    ensure_keys(settings)
    return Tokens(settings, Watched(settings.token_key_path, read_keys))
