"""One-time codes: six digits to a phone or a mailbox, tried a few times, used once (seed 004, `phoneOtps`)."""

import hmac
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Any, Final

import phonenumbers
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.auth.budgets import Budgets
from app.auth.secret import keyed_hash
from app.auth.senders import Message, Recipient, Sender
from app.database import transaction
from app.errors import Invalid, TooManyRequests, Unavailable
from app.relations.guards import refer
from app.settings import Settings
from models.base import now
from models.email import canonical_email, is_own_spelling
from models.phone_otp import PhoneOtp, Purpose

_DIGITS: Final = 6


def phone_recipient(number: str) -> Recipient:
    """Whoever has this phone number, in E.164.

    Raises:
        Invalid: it is no phone number in international form.
    """
    try:
        parsed = phonenumbers.parse(number, None)
        valid = phonenumbers.is_valid_number(parsed)
    except phonenumbers.NumberParseException:
        valid = False
    if not valid:
        raise Invalid.field(
            "/phoneNumber", "malformed", "not a phone number in international form, such as +14155550123"
        )
    return Recipient("phone", phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def email_recipient(address: str) -> Recipient:
    """Whoever has this mailbox: the one that was typed, never another that has the same canonical form.

    Raises:
        Invalid: it is no email address, or its canonical form may be somebody else's mailbox.
    """
    try:
        own = is_own_spelling(unicodedata.normalize("NFKC", address))
        canonical = canonical_email(address)
    except ValueError as error:
        raise Invalid.field("/email", "malformed", str(error)) from None
    if not own:
        detail = "letters before the @ that are not ASCII are to be lower-case, and none that case folding changes"
        raise Invalid.field("/email", "malformed", detail)
    return Recipient("email", canonical)


class Codes:
    """Sends codes and checks them; the same for every recipient, known or not."""

    def __init__(self, settings: Settings, key: bytes, sender: Sender, budgets: Budgets) -> None:
        self._settings = settings
        self._key = key
        self._sender = sender
        self._budgets = budgets
        self._resend = timedelta(seconds=settings.otp_resend_seconds)
        self._lifetime = timedelta(seconds=settings.otp_lifetime_seconds)

    async def send(self, recipient: Recipient, purpose: Purpose, client: str, user_id: ObjectId | None = None) -> str:
        """Send a code. Another one to the same recipient belongs to the same challenge and gives it no more tries.

        Args:
            recipient: where to.
            purpose: what the code is good for.
            client: address of who asks.
            user_id: whose matter it is; None for a sign-in.

        Returns:
            The id of the challenge.

        Raises:
            TooManyRequests: too soon after the last code, or a budget is used up.
            NotFound: the user is gone.
            Unavailable: the sender did not take it.
        """
        await self._budgets.spend_client(client)
        subject = keyed_hash(self._key, "subject", recipient.address, purpose, str(user_id or "")).hex()
        row = await PhoneOtp.raw().find_one({"subject": subject})
        if row is not None:
            self._check_resend(PhoneOtp.from_stored(row), now())
        code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}"
        challenge = await self._store(subject, recipient, purpose, user_id, code)
        try:
            await self._budgets.spend_code(recipient.address)
        except TooManyRequests:
            await self._put_back(challenge, row)
            raise
        message = Message(secrets.token_hex(16), recipient, purpose, code, challenge.expires_at)
        try:
            await self._sender.send(message)
        except Unavailable:
            await self._may_be_sent_again(challenge)
            raise
        return challenge.id

    async def check(
        self, challenge_id: str, code: str, purpose: Purpose, user_id: ObjectId | None = None
    ) -> PhoneOtp | None:
        """The challenge that a code is right for, to be consumed in the transaction of what it is for; else None.

        The try is counted before anything is compared. A challenge that is not there is compared with, too.
        """
        challenge = await PhoneOtp.count_attempt(challenge_id, self._settings.otp_attempts)
        recipient = challenge.recipient if challenge else ""
        given = self._hash(challenge_id, recipient, purpose, code)
        stored = challenge.code_hash if challenge else given[::-1]
        right = hmac.compare_digest(given, stored)
        return challenge if challenge and right and challenge.user_id == user_id else None

    def _hash(self, challenge_id: str, recipient: str, purpose: str, code: str) -> str:
        return keyed_hash(self._key, "code", challenge_id, recipient, purpose, code).hex()

    def _check_resend(self, challenge: PhoneOtp, moment: datetime) -> None:
        if challenge.expires_at <= moment:
            return
        until = challenge.sent_at + self._resend
        if challenge.attempts >= self._settings.otp_attempts:
            until = challenge.expires_at
        if until > moment:
            wait = int((until - moment).total_seconds()) + 1
            raise TooManyRequests("a code was sent just now; wait before asking for another", retry_after=wait)

    async def _store(
        self, subject: str, recipient: Recipient, purpose: Purpose, user_id: ObjectId | None, code: str
    ) -> PhoneOtp:
        async def work(session: AsyncClientSession) -> PhoneOtp:
            moment = now()
            row = await PhoneOtp.raw().find_one({"subject": subject}, session=session)
            if row is not None and row["expiresAt"] > moment:
                self._check_resend(PhoneOtp.from_stored(row), moment)
                fields = {
                    "codeHash": self._hash(row["_id"], recipient.address, purpose, code),
                    "sentAt": moment,
                    "expiresAt": moment + self._lifetime,
                }
                changed = await PhoneOtp.change({"_id": row["_id"]}, fields, session=session)
                if changed is not None:
                    return changed
            if row is not None:
                await PhoneOtp.raw().delete_one({"_id": row["_id"]}, session=session)
            challenge_id = secrets.token_urlsafe(16)
            challenge = PhoneOtp(
                id=challenge_id,
                subject=subject,
                purpose=purpose,
                phone_number=recipient.address if recipient.channel == "phone" else None,
                email=recipient.address if recipient.channel == "email" else None,
                user_id=user_id,
                code_hash=self._hash(challenge_id, recipient.address, purpose, code),
                expires_at=moment + self._lifetime,
            )
            await refer(PhoneOtp, challenge.stored(), session)
            await challenge.add(session)
            return challenge

        try:
            return await transaction(work)
        except DuplicateKeyError:  # of two requests at once the other was first
            raise TooManyRequests("a code was sent just now", retry_after=self._settings.otp_resend_seconds) from None

    async def _put_back(self, challenge: PhoneOtp, before: Any) -> None:
        """Let the code before, if any, be good again: the new one is not sent."""
        where = {"_id": challenge.id, "codeHash": challenge.code_hash}
        if before is None or before["_id"] != challenge.id:
            await PhoneOtp.raw().delete_one(where)
        else:
            fields = {name: before[name] for name in ("codeHash", "sentAt", "expiresAt")}
            await PhoneOtp.raw().update_one(where, {"$set": fields})

    async def _may_be_sent_again(self, challenge: PhoneOtp) -> None:
        where = {"_id": challenge.id, "codeHash": challenge.code_hash}
        await PhoneOtp.raw().update_one(where, {"$set": {"sentAt": now() - self._resend}})
