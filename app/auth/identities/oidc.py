"""ID tokens of OpenID Connect providers (OpenID Connect Core 1.0, section 3.1.3.7), and their keys,
cached."""

import asyncio
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import httpx2
import jwt
import orjson
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import NotFound, Unauthenticated, Unavailable
from app.identity.tokens import by_our_clock, is_in_force
from app.outside.client import PACKED, TryLater, read_bounded
from app.settings import Settings
from app.settings.sign_in import OidcProvider
from app.web.observability import log
from models.budget import Budget
from models.clock import CLOCK
from models.email import canonical_email, is_own_spelling

_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_REQUIRED: Final = ["iss", "aud", "exp", "iat", "sub"]
_LEEWAY: Final = 30
_LONGEST_LIFE: Final = 24 * 60 * 60
_KEEP_USED: Final = timedelta(minutes=10)
_AGAIN_AFTER: Final = 5.0
_LONGEST_STALE: Final = 24 * 60 * 60
_URL: Final = re.compile(r"https?://\S{1,2040}")
_GOOGLE: Final = "google"
_GOOGLE_ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
_GMAIL: Final = "@gmail.com"
_REFUSED: Final = "the ID token is not valid"
REPLAYED: Final = "the ID token was used before"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who somebody has shown to be: the identity, and what its provider says of them.

    `email` is canonical. `verified` says whether the provider vouches that the mailbox is theirs.
    Of an ID token, `token` is the SHA-256 of what is signed (signatures have several spellings) and
    `token_ends` its `exp`.
    """

    provider: str
    provider_id: str
    email: str | None = None
    verified: bool = False
    name: str | None = None
    picture: str | None = None
    token: str | None = None
    token_ends: datetime | None = None

    async def consume(self, session: AsyncClientSession) -> bool:
        """Use the ID token up, in the transaction of what it is for; False where it was used
        before."""
        if self.token is None or self.token_ends is None:
            return True
        name = f"id-token:{self.provider}:{self.token}"
        return await Budget.spend(name, self.token_ends + _KEEP_USED, session=session) == 1


class ProviderKeys:
    """A provider's published keys: fetched when they are old, and when a token names one that is
    not among them."""

    def __init__(self, url: str, client: httpx2.AsyncClient, keep_seconds: float) -> None:
        self._url = url
        self._client = client
        self._keep = keep_seconds
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key with this id, None where the provider has none.

        Keys that are old are used for a day more where the provider cannot be reached.

        Raises:
            Unavailable: the provider's keys are not known and cannot be fetched.
        """
        age = time.monotonic() - self._fetched_at
        known = kid in self._keys
        # what is known need not wait
        if not known or (age > self._keep and not self._fetching.locked()):
            await self._fetch(kid)
        if not self._keys or time.monotonic() - self._fetched_at > self._keep + _LONGEST_STALE:
            raise Unavailable(
                "the provider's keys cannot be fetched; try again in a moment", retry_after=5
            )
        return self._keys.get(kid)

    async def _fetch(self, kid: str) -> None:
        """Fetch the keys, at most every few seconds whatever tokens name; those who ask meanwhile
        wait for it."""
        async with self._fetching:
            moment = time.monotonic()
            fresh = kid in self._keys and moment - self._fetched_at <= self._keep
            if fresh or moment - self._tried_at < _AGAIN_AFTER:
                return
            self._tried_at = moment
            try:
                async with self._client.stream("GET", self._url, headers=PACKED) as answer:
                    answer.raise_for_status()
                    found = jwt.PyJWKSet.from_dict(orjson.loads(await read_bounded(answer))).keys
            except (
                httpx2.HTTPError,
                TryLater,
                jwt.PyJWTError,
                ValueError,
                TypeError,
                AttributeError,
            ) as error:
                log.warning(
                    "a provider's keys cannot be fetched", url=self._url, error=type(error).__name__
                )
                return
            self._keys = {
                key.key_id: key for key in found if key.key_id and key.algorithm_name in _ALGORITHMS
            }
            self._fetched_at = moment


class Oidc:
    """Verifies ID tokens of the configured providers."""

    def __init__(self, settings: Settings, client: httpx2.AsyncClient) -> None:
        self._providers = settings.providers
        self._nonce_required = settings.oidc_nonce_required
        self._keys = {
            name: ProviderKeys(provider.jwks_url, client, settings.oidc_keys_seconds)
            for name, provider in self._providers.items()
        }

    async def verify(self, name: str, token: str, nonce: str | None) -> Evidence:
        """Who an ID token is about.

        Args:
            name: of the provider.
            token: the ID token.
            nonce: what the client sent the provider, or, where the provider is set so, hashed by
                SHA-256 for it.

        Raises:
            NotFound: there is no such provider.
            Unauthenticated: signature, issuer, audience, times or nonce are not right.
            Unavailable: the provider's keys cannot be fetched.
        """
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound("there is no such provider")
        key = await self._keys[name].find(_key_id(token))
        if key is None:
            raise Unauthenticated(_REFUSED)
        claims = _decoded(token, key, provider)
        ends = float(claims["exp"])
        if not (
            _is_for_us(claims, provider) and self._nonce_holds(provider, claims.get("nonce"), nonce)
        ):
            raise Unauthenticated(_REFUSED)
        if ends - CLOCK.time() > _LONGEST_LIFE + _LEEWAY:
            raise Unauthenticated(_REFUSED)
        signed = sha256(token.rpartition(".")[0].encode()).hexdigest()
        return replace(
            _evidence(name, claims), token=signed, token_ends=datetime.fromtimestamp(ends, UTC)
        )

    def _nonce_holds(self, provider: OidcProvider, claimed: object, sent: str | None) -> bool:
        if claimed is None and sent is None:
            return not self._nonce_required
        if not isinstance(claimed, str) or sent is None:
            return False
        expected = sent.encode("utf-8", "replace")
        if provider.nonce_hashed:
            expected = sha256(expected).hexdigest().encode()
        return hmac.compare_digest(claimed.encode("utf-8", "replace"), expected)


def _key_id(token: str) -> str:
    try:
        kid = jwt.get_unverified_header(token)["kid"]
    except Exception:
        raise Unauthenticated(_REFUSED) from None
    if not isinstance(kid, str):
        raise Unauthenticated(_REFUSED)
    return kid


def _decoded(token: str, key: jwt.PyJWK, provider: OidcProvider) -> dict[str, Any]:
    """The claims of a token that the provider has signed, for us, and that is in force."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=provider.issuers,
            audience=provider.client_ids,
            options=by_our_clock(_REQUIRED),
        )
        if is_in_force(claims, _LEEWAY):
            return claims
    except Exception:  # whatever a forged token provokes in the parsers, it is not valid
        raise Unauthenticated(_REFUSED) from None
    raise Unauthenticated(_REFUSED)


def _is_for_us(claims: Mapping[str, Any], provider: OidcProvider) -> bool:
    """The authorised party, which has to be there where the token has several audiences, is us."""
    party, audience = claims.get("azp"), claims["aud"]
    if party is None:
        return not isinstance(audience, list) or len(audience) == 1
    return party in provider.client_ids


def _evidence(name: str, claims: Mapping[str, Any]) -> Evidence:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise Unauthenticated(_REFUSED)
    email = _email(claims.get("email"))
    return Evidence(
        provider=name,
        provider_id=subject,
        email=email,
        verified=email is not None
        and claims.get("email_verified") is True
        and _is_authoritative(name, email, claims),
        name=_text(claims.get("name")),
        picture=_picture(claims.get("picture")),
    )


def _is_authoritative(name: str, email: str, claims: Mapping[str, Any]) -> bool:
    """Whether the provider runs the mailbox, so that what it has once seen of it still holds.

    Google verifies a mailbox elsewhere once, and says `email_verified` of it for good; whose it is
    today it knows of Gmail and of Workspace, which `hd` tells (Google Identity, Verify the Google
    ID token on your server side).
    """
    if name != _GOOGLE and claims["iss"] not in _GOOGLE_ISSUERS:
        return True
    domain = claims.get("hd")
    return email.endswith(_GMAIL) or (isinstance(domain, str) and bool(domain))


def _email(claimed: object) -> str | None:
    """The canonical form, None where it may be another mailbox than the one that the provider
    means."""
    try:
        return (
            canonical_email(claimed)
            if isinstance(claimed, str) and is_own_spelling(claimed)
            else None
        )
    except ValueError:
        return None


def _text(claimed: object) -> str | None:
    if not isinstance(claimed, str):
        return None
    return claimed.encode("utf-8", "ignore").decode().replace("\0", "").strip()[:255] or None


def _picture(claimed: object) -> str | None:
    text = _text(claimed) if isinstance(claimed, str) and len(claimed) <= 255 else claimed
    return text if isinstance(text, str) and _URL.fullmatch(text) else None
