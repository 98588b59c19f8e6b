"""One-time codes: digits to a phone or a mailbox, tried a few times, used once (required:
`phoneOtps`)."""

import hmac
import secrets
import unicodedata
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.codes.budgets import Budgets, hour_of
from app.auth.codes.requesters import Requester
from app.auth.codes.senders import FAILED, MaybeSent, Message, Recipient, Sender
from app.auth.secret import keyed_hash
from app.database import transaction
from app.errors import Invalid, Unavailable
from app.relations.guards import check_references
from app.settings import Settings
from app.web.observability.measures import CODES_REFUSED, CODES_SENT
from models.base import now
from models.email import canonical_email, is_own_spelling
from models.phone import canonical_phone
from models.phone_otp import PhoneOtp, Purpose


def phone_recipient(number: str) -> Recipient:
    """Whoever has this phone number, in E.164.

    Raises:
        Invalid: it is no phone number in international form.
    """
    try:
        return Recipient("phone", canonical_phone(number))
    except ValueError as error:
        raise Invalid.field("/phoneNumber", "malformed", str(error)) from None


def email_recipient(address: str) -> Recipient:
    """Whoever has this mailbox: the one that was typed, never another that has the same canonical
    form.

    Raises:
        Invalid: it is no email address, or its canonical form may be somebody else's mailbox.
    """
    try:
        own = is_own_spelling(unicodedata.normalize("NFKC", address))
        canonical = canonical_email(address)
    except ValueError as error:
        raise Invalid.field("/email", "malformed", str(error)) from None
    if not own:
        detail = (
            "letters before the @ that are not ASCII are to be lower-case, and none that case"
            " folding changes"
        )
        raise Invalid.field("/email", "malformed", detail)
    return Recipient("email", canonical)


@dataclass(frozen=True, slots=True)
class Sent:
    """A challenge that was made: its id, how many digits its code has, and whether a message was
    sent for it."""

    challenge_id: str
    digits: int
    message_sent: bool


class _Code(NamedTuple):
    """A code, the name of the shared one that it is, and whether it is to be sent."""

    text: str
    shared: str | None
    to_be_sent: bool


class Codes:
    """Sends codes and checks them; the same for every recipient, known or not."""

    def __init__(self, settings: Settings, key: bytes, sender: Sender, budgets: Budgets) -> None:
        self._settings = settings
        self._key = key
        self._sender = sender
        self._budgets = budgets
        self._lifetime = timedelta(seconds=settings.otp_lifetime_seconds)

    async def send(
        self,
        recipient: Recipient,
        purpose: Purpose,
        requester: Requester,
        user_id: ObjectId | None = None,
    ) -> Sent:
        """Send a code. Each request is a challenge with tries of its own, which only its requester
        knows the id of.

        A refusal uses up no budget: what was counted is given back.

        Args:
            recipient: where to.
            purpose: what the code is good for.
            requester: who asks.
            user_id: whose matter it is; None for a sign-in.

        Raises:
            TooManyRequests: too soon after their last code, or a budget of theirs or of the service
                is used up.
            NotFound: the user is gone.
            Unavailable: the sender did not take it, or its answer was lost.
        """
        async with AsyncExitStack() as undo:
            asked = await self._budgets.begin(
                requester, recipient, f"{purpose}:{user_id or ''}", undo
            )
            await self._budgets.spend_requester(requester, undo)
            digits, tries_of = await self._budgets.reserve_tries(requester, recipient, undo)
            code = await self._code(
                recipient, f"{purpose}:{requester.pool}", requester.pool, digits, undo
            )
            challenge = self._challenge(recipient, purpose, user_id, code, tries_of, asked)
            await self._store(challenge)
            undo.push_async_callback(challenge.remove)
            if code.to_be_sent:
                message = Message(
                    secrets.token_hex(16), recipient, purpose, code.text, challenge.expires_at
                )
                await self._send(message, challenge, undo)
            undo.pop_all()
        return Sent(str(challenge.id), digits, code.to_be_sent)

    def _challenge(
        self,
        recipient: Recipient,
        purpose: Purpose,
        user_id: ObjectId | None,
        code: _Code,
        tries_of: str | None,
        asked: str,
    ) -> PhoneOtp:
        """What is stored of a code, under an id that only its requester is told."""
        challenge_id = secrets.token_urlsafe(16)
        return PhoneOtp(
            id=challenge_id,
            purpose=purpose,
            phone_number=recipient.address if recipient.channel == "phone" else None,
            email=recipient.address if recipient.channel == "email" else None,
            user_id=user_id,
            code_hash=self._hash(challenge_id, recipient.address, purpose, code.text),
            shared=code.shared,
            tries_of=tries_of,
            asked=asked,
            expires_at=now() + self._lifetime,
        )

    async def _send(self, message: Message, challenge: PhoneOtp, undo: AsyncExitStack) -> None:
        """Send a message. Where nobody knows whether it was, it counts as sent: else the recipient
        could be bombed."""
        try:
            await self._sender.send(message)
        except MaybeSent:
            CODES_REFUSED.labels("sender").inc()
            undo.pop_all()
            await challenge.remove()
            raise Unavailable(FAILED) from None
        except Unavailable:
            CODES_REFUSED.labels("sender").inc()
            raise
        CODES_SENT.labels(message.recipient.channel, message.purpose).inc()

    async def check(
        self, challenge_id: str, code: str, purpose: Purpose, user_id: ObjectId | None = None
    ) -> PhoneOtp | None:
        """The challenge that a code is right for, to be consumed in the transaction of what it is
        for; else None.

        The try is counted before anything is compared. A challenge that is not there is compared
        with, too.
        """
        challenge = await PhoneOtp.count_attempt(challenge_id, self._settings.otp_attempts)
        recipient = challenge.recipient if challenge else ""
        given = self._hash(challenge_id, recipient, purpose, code)
        stored = challenge.code_hash if challenge else given[::-1]
        right = hmac.compare_digest(given, stored)
        return challenge if challenge and right and challenge.user_id == user_id else None

    async def settle(self, challenge: PhoneOtp) -> None:
        """Give back what a challenge that was consumed did not need."""
        wrong = challenge.attempts - 1
        await self._budgets.settle(
            challenge.tries_of, challenge.asked, self._settings.otp_attempts - wrong
        )

    def _hash(self, challenge_id: str, recipient: str, purpose: str, code: str) -> str:
        return keyed_hash(self._key, "code", challenge_id, recipient, purpose, code).hex()

    async def _code(
        self, recipient: Recipient, matter: str, pool: str, digits: int, undo: AsyncExitStack
    ) -> _Code:
        """A code of the challenge's own while the recipient's day has messages left, then the one
        of the hour."""
        if await self._budgets.take_message(recipient, matter, undo):
            await self._budgets.spend_service(pool, undo)
            return _Code(f"{secrets.randbelow(10**digits):0{digits}}", None, to_be_sent=True)
        name = await self._shared_name(recipient, matter, digits)
        number = int.from_bytes(keyed_hash(self._key, "shared code", name)[:16], "big") % 10**digits
        first = await self._budgets.take_first(name, undo)
        if first:
            await self._budgets.spend_service(pool, undo)
        return _Code(f"{number:0{digits}}", name, to_be_sent=first)

    async def _shared_name(self, recipient: Recipient, matter: str, digits: int) -> str:
        """What names the code that a recipient's challenges of this hour share: the first that was
        not used yet.

        The code follows from the name by the server's key alone, so it can be given to a further
        challenge although nothing but keyed hashes is stored.
        """
        hour = f"{hour_of(now()):%Y-%m-%dT%H}"
        generation, name = 0, self._name(recipient.address, matter, hour, str(digits), "0")
        while await PhoneOtp.was_used(name):
            generation += 1
            name = self._name(recipient.address, matter, hour, str(digits), str(generation))
        return name

    def _name(self, *parts: str) -> str:
        return keyed_hash(self._key, "shared name", *parts).hex()[:32]

    async def _store(self, challenge: PhoneOtp) -> None:
        async def work(session: AsyncClientSession) -> None:
            await check_references(PhoneOtp, challenge.stored(), session)
            await challenge.add(session)

        await transaction(work)
