"""The key ring: seals secrets before they are stored and opens them again (AES-256-GCM, RFC 5116;
HKDF, RFC 5869).

A sealed value opens only where it was sealed: collection, field, document and owner are bound to it
as associated data, and its key is derived for that one place. Keys have ids; the newest seals, all
of them open.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from app.outside.key_files import Watched, derived
from app.settings import Settings
from app.settings.private_files import keep_first
from models.base import now
from models.sealed import Place, Sealed

VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LOOKED_AT_EVERY: Final = 5.0


class KeyRingError(Exception):
    """The key ring cannot be read; the message says why, and holds no key."""


class SealedError(Exception):
    """A sealed value does not open; the message says which and why, and holds nothing of it."""


class UnknownKey(SealedError):
    """The key that sealed it is not in the ring (any more)."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys by id, and the id of the one that seals."""

    current: str
    by_id: Mapping[str, bytes]

    def dump(self) -> str:
        """As a key ring file holds them."""
        keys = {key_id: b64encode(key).decode() for key_id, key in self.by_id.items()}
        return orjson.dumps(
            {"current": self.current, "keys": keys},
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        ).decode()

    def with_new(self) -> "Keys":
        """The ring with one more key, which seals from now on."""
        key_id = new_key_id()
        return Keys(key_id, {**self.by_id, key_id: secrets.token_bytes(_KEY_BYTES)})

    def without(self, key_id: str) -> "Keys":
        """The ring without a key that does not seal."""
        return Keys(
            self.current, {known: key for known, key in self.by_id.items() if known != key_id}
        )


def new_key_id() -> str:
    """An id that says when the key was made: `20261121-3fa85f64`."""
    return f"{now():%Y%m%d}-{secrets.token_hex(4)}"


def new_keys() -> Keys:
    """A ring with one key."""
    key_id = new_key_id()
    return Keys(key_id, {key_id: secrets.token_bytes(_KEY_BYTES)})


def parse_keys(text: str, source: str) -> Keys:
    """The ring that a file or variable spells: `{"current": "<id>", "keys": {"<id>": "<base64 of 32
    bytes>"}}`.

    Raises:
        KeyRingError: it is malformed.
    """
    try:
        told: Any = orjson.loads(text)
        by_id = {str(key_id): b64decode(key, validate=True) for key_id, key in told["keys"].items()}
        current = str(told["current"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KeyRingError(f"{source} is no key ring: see docs/connections.md") from None
    if current not in by_id or any(len(key) != _KEY_BYTES for key in by_id.values()):
        raise KeyRingError(
            f"{source}: each key has 32 bytes in base64, and `current` names one of them"
        )
    return Keys(current, by_id)


class KeyRing:
    """Seals and opens. A ring that is kept in a file is read again where the file has changed."""

    def __init__(self, keys: Keys | Watched[Keys]) -> None:
        self._source = keys

    def __repr__(self) -> str:
        return f"<key ring of {len(self._look().by_id)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring is not serialised")

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._look().current

    def key_ids(self) -> list[str]:
        """The ids of all keys."""
        return list(self._look().by_id)

    def seal(self, secret: SecretStr, place: Place) -> Sealed:
        """Encrypt a secret for the place where it will be stored."""
        keys, nonce = self._look(), secrets.token_bytes(_NONCE_BYTES)
        key_id = keys.current
        bound = _bound(key_id, place)
        plain = secret.get_secret_value().encode()
        ciphertext = AESGCM(derived(keys.by_id[key_id], bound)).encrypt(nonce, plain, bound)
        return Sealed({"v": VERSION, "k": key_id, "n": nonce, "c": ciphertext})

    def open(self, sealed: Sealed, place: Place) -> SecretStr:
        """The secret that was sealed for this place.

        Raises:
            UnknownKey: the key that sealed it is not in the ring.
            SealedError: it was cut short, changed, or belongs elsewhere.
        """
        row = sealed.stored()
        nonce, ciphertext = row.get("n"), row.get("c")
        if (
            row.get("v") != VERSION
            or not isinstance(nonce, bytes)
            or not isinstance(ciphertext, bytes)
        ):
            raise SealedError(f"the sealed {place} is damaged")
        if len(nonce) != _NONCE_BYTES or len(ciphertext) < _TAG_BYTES:
            raise SealedError(f"the sealed {place} is truncated")
        bound = _bound(sealed.key_id, place)
        try:
            return SecretStr(
                AESGCM(derived(self._key(sealed.key_id, place), bound))
                .decrypt(nonce, ciphertext, bound)
                .decode()
            )
        except InvalidTag:
            raise SealedError(
                f"the sealed {place} does not open: it was truncated or changed, or belongs to"
                " another document"
            ) from None

    def reload(self) -> None:
        """Look at the ring's file now."""
        self._look(0)

    def _look(self, every: float = _LOOKED_AT_EVERY) -> Keys:
        return self._source.look(every) if isinstance(self._source, Watched) else self._source

    def _key(self, key_id: str, place: Place) -> bytes:
        key = self._look().by_id.get(key_id) or self._look(0).by_id.get(key_id)
        if key is None:
            raise UnknownKey(
                f"the sealed {place} needs the key {key_id!r}, which is not in the key ring"
            )
        return key


def _bound(key_id: str, place: Place) -> bytes:
    """What a ciphertext is bound to; each part with its length, so that no two places spell the
    same."""
    parts = (
        "satchel",
        str(VERSION),
        key_id,
        place.collection,
        place.field,
        str(place.document_id),
        str(place.owner_id),
    )
    return b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts)


def read_keys(path: Path) -> Keys:
    """The ring that a file holds.

    Raises:
        KeyRingError: it is not there, cannot be read, or is malformed.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise KeyRingError(f"the key ring {path} cannot be read: {error.strerror}") from None
    return parse_keys(text, f"the key ring {path}")


def keyring_of(scope: Any) -> KeyRing:
    """The ring of the process that serves this request."""
    found: KeyRing = scope["app"].state.keyring
    return found


def load_keyring(settings: Settings) -> KeyRing:
    """The ring of the settings; in development one is made in the data folder.

    Raises:
        KeyRingError: it is not there, cannot be read, or is malformed.
    """
    if settings.keyring is not None:
        return KeyRing(parse_keys(settings.keyring.get_secret_value(), "SATCHEL_KEYRING"))
    path = settings.keyring_path
    if (
        settings.environment == "development"
        and settings.keyring_file is None
        and not path.exists()
    ):
        keep_first(path, new_keys().dump().encode())
    return KeyRing(Watched(path, read_keys))
