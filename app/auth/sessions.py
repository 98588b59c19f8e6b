"""Sessions: refresh tokens that are rotated at each use, one family to a device (required:
`userRefreshTokens`).

A refresh token is `rt_` and 64 bytes: family, generation, 128 random bits of the family, and a
    256-bit HMAC over these.
Each token follows from the one before it by the server's key alone, so the answer to a repeated
refresh can be given again although nothing but a keyed hash is stored.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.secret import MasterSecret, keyed_hash
from app.database import transaction
from app.errors import Unauthenticated
from app.identity import trail
from app.relations.guards import check_references
from app.settings import Settings
from app.web.observability.measures import REFRESHES_REFUSED
from models.base import now
from models.refresh_token import RefreshToken
from models.user import User

_PREFIX: Final = "rt_"
_LENGTH: Final = 64
_REFUSED: Final = "the refresh token is not valid, or its session has ended"


@dataclass(frozen=True, slots=True)
class Token:
    """A refresh token taken apart: family, number in it, and the family's random bits."""

    family: ObjectId
    generation: int
    salt: bytes

    @property
    def successor(self) -> "Token":
        """The next one of the family."""
        return Token(self.family, self.generation + 1, self.salt)

    @property
    def head(self) -> bytes:
        """Everything but the HMAC."""
        return self.family.binary + self.generation.to_bytes(4, "big") + self.salt


@dataclass(frozen=True, slots=True)
class Device:
    """What is said of a device when its session begins: a label, and the one app that it is for."""

    info: str | None = None
    app_id: str | None = None


class Sessions:
    """Begins, rotates and ends sessions."""

    def __init__(self, settings: Settings, secret: MasterSecret) -> None:
        self._settings = settings
        self._signing = secret.key("refresh token")
        self._hashing = secret.key("refresh token hash")
        self._idle = timedelta(days=settings.session_idle_days)
        self._longest = timedelta(days=settings.session_days)

    async def begin(
        self, user_id: ObjectId, device: Device, method: str, session: AsyncClientSession
    ) -> tuple[RefreshToken, str]:
        """A session and its first refresh token, in a transaction; beyond the device limit the
        oldest ones end.

        Counting up the user's guard makes sign-ins of one user follow one another, so the limit
        holds under a race.

        Raises:
            NotFound: there is no such user.
        """
        moment = now()
        token = Token(ObjectId(), 1, secrets.token_bytes(16))
        text = self._spell(token)
        begun = RefreshToken(
            id=PydanticObjectId(token.family),
            user_id=PydanticObjectId(user_id),
            token_hash=self._hash(text),
            device_info=device.info,
            app_id=device.app_id,
            auth_method=method,
            ends_at=moment + self._longest,
            expires_at=moment + min(self._idle, self._longest),
        )
        await check_references(RefreshToken, begun.stored(), session)
        living = await RefreshToken.of_user(user_id, session=session)
        surplus = len(living) + 1 - self._settings.session_limit
        if surplus > 0:
            ended = [each.id for each in living[:surplus]]
            await RefreshToken.raw().delete_many({"_id": {"$in": ended}}, session=session)
        await begun.add(session)
        return begun, text

    async def refresh(self, text: str) -> tuple[RefreshToken, str]:
        """The session of a refresh token, and the token that takes its place.

        A repeat gets the same successor, however late, as long as nobody has used that one: the
        answer may have been lost. A token that is used again after its successor was stolen, or the
        successor was: the session ends.

        Raises:
            Unauthenticated: the token is not valid any more, or never was.
        """
        token = self.read(text)
        successor = self._spell(token.successor)
        rotated = await RefreshToken.rotate(
            token.family, token.generation, self._hash(text), self._hash(successor), self._idle
        )
        if rotated is not None:
            return rotated, successor
        stored = await RefreshToken.find_living(token.family)
        if stored is None:
            raise _refused("not_valid")
        if stored.generation == token.generation + 1:
            return stored, successor
        await self._breach(stored, token)
        raise _refused("reused")

    async def end_by_token(self, text: str) -> None:
        """End the session that a refresh token, also one that was rotated away, belongs to.

        Raises:
            Unauthenticated: the token is none of ours.
        """
        await RefreshToken.raw().delete_one({"_id": self.read(text).family})

    async def session_of(self, text: str) -> RefreshToken | None:
        """The session that a refresh token would refresh: its last one, or the one before, whose
        answer may have been lost; None for any other."""
        try:
            token = self.read(text)
        except Unauthenticated:
            return None
        found = await RefreshToken.find_living(token.family)
        is_good = found is not None and found.generation - token.generation in (0, 1)
        return found if is_good else None

    async def end_others(self, user_id: ObjectId, kept: ObjectId | None) -> None:
        """End every session of a user but one, and what servers minted before now, in one
        transaction."""

        async def work(session: AsyncClientSession) -> None:
            await RefreshToken.end_others(user_id, kept, session=session)
            await User.raw().update_one(
                {"_id": user_id}, {"$set": {"sessionsEndedAt": now()}}, session=session
            )

        await transaction(work)

    def read(self, text: str) -> Token:
        """A refresh token taken apart.

        Raises:
            Unauthenticated: it is none of ours.
        """
        try:
            raw = (
                urlsafe_b64decode(text.removeprefix(_PREFIX) + "==")
                if text.startswith(_PREFIX)
                else b""
            )
        except ValueError:
            raw = b""
        if len(raw) != _LENGTH:
            raise _refused("not_valid")
        token = Token(ObjectId(raw[:12]), int.from_bytes(raw[12:16], "big"), raw[16:32])
        if not hmac.compare_digest(self._spell(token).encode(), text.encode("utf-8", "replace")):
            raise _refused("not_valid")
        return token

    async def _breach(self, stored: RefreshToken, token: Token) -> None:
        """End the family and record why. Both at once, and once: a session that is gone is recorded
        no more."""

        async def work(session: AsyncClientSession) -> None:
            if await RefreshToken.end(token.family, stored.user_id, session=session):
                detail = {
                    "sessionId": str(token.family),
                    "generation": token.generation,
                    "currentGeneration": stored.generation,
                }
                await trail.record(
                    "refresh_reused",
                    "anonymous",
                    user_id=stored.user_id,
                    detail=detail,
                    session=session,
                )

        await transaction(work)

    def _spell(self, token: Token) -> str:
        return _PREFIX + urlsafe_b64encode(
            token.head + keyed_hash(self._signing, token.head)
        ).decode().rstrip("=")

    def _hash(self, text: str) -> str:
        return keyed_hash(self._hashing, text).hex()


def _refused(reason: str) -> Unauthenticated:
    """The one answer to every token that is not good; why is measured alone."""
    REFRESHES_REFUSED.labels(reason).inc()
    return Unauthenticated(_REFUSED)
