"""Senders: what takes a code to a phone or a mailbox. A webhook in production, the terminal in
development."""

import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import httpx2

from app.errors import Unavailable
from app.outside.signatures import standard_webhook
from app.settings import Settings
from app.web.body import dump_json
from app.web.observability import log
from models.phone_otp import Purpose

Channel = Literal["phone", "email"]
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
FAILED: Final = "the message could not be sent; try again in a moment"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a code goes: a phone number in E.164, or a canonical email address."""

    channel: Channel
    address: str


@dataclass(frozen=True, slots=True)
class Message:
    """A code on its way. `id` is another one for each code, so that a sender can tell a repeat."""

    id: str
    recipient: Recipient
    purpose: Purpose
    code: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person is told. `id` is the same each time it is tried, so that a sender can
    tell a repeat."""

    id: str
    recipient: Recipient
    what: Literal["email_taken"]


class MaybeSent(Exception):
    """The sender's answer was lost: the message may be on its way."""


class Sender(Protocol):
    """Takes codes and notices to their recipients."""

    async def send(self, message: Message) -> None:
        """Send it, or see to it that it will be sent.

        Raises:
            MaybeSent: nobody knows whether it was taken.
            Unavailable: it was not taken; nothing was sent.
        """

    async def tell(self, notice: Notice) -> None:
        """Send a notice, or see to it that it will be sent.

        Raises:
            Unavailable: it was not taken; nothing was sent.
        """


class ConsoleSender:
    """Prints codes on stderr, for whoever develops against this Satchel."""

    async def send(self, message: Message) -> None:
        """Print it."""
        told = f"code {message.code} for {message.recipient.address} ({message.purpose})"
        print(told, file=sys.stderr, flush=True)

    async def tell(self, notice: Notice) -> None:
        """Print it."""
        print(f"notice {notice.what} for {notice.recipient.address}", file=sys.stderr, flush=True)


class WebhookSender:
    """Posts codes and notices to a URL, signed as Standard Webhooks has it (standardwebhooks.com).

    The body is `{"type": "code", "channel", "to", "code", "purpose", "expiresAt"}`, or that of a
    notice, `{"type": "email_taken", "channel", "to"}`; the header `webhook-signature` is `v1,` and
    the base64 of HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`. Any 2xx means taken.
    """

    def __init__(self, url: str, secret: bytes, client: httpx2.AsyncClient) -> None:
        self._url = url
        self._secret = secret
        self._client = client

    async def send(self, message: Message) -> None:
        """Post it; raises Unavailable where the answer is no 2xx, or does not come in time."""
        more = {"code": message.code, "purpose": message.purpose, "expiresAt": message.expires_at}
        await self._post(message.id, "code", message.recipient, more)

    async def tell(self, notice: Notice) -> None:
        """Post it; raises Unavailable where the answer is no 2xx, or does not come in time."""
        try:
            await self._post(notice.id, notice.what, notice.recipient, {})
        except MaybeSent:
            raise Unavailable(FAILED) from None

    async def _post(
        self, message_id: str, kind: str, recipient: Recipient, more: dict[str, Any]
    ) -> None:
        told = {"type": kind, "channel": recipient.channel, "to": recipient.address}
        body = dump_json({**told, **more})
        signed = standard_webhook(message_id, body, [self._secret])
        headers = {"content-type": "application/json", **signed}
        sending = self._client.stream("POST", self._url, content=body, headers=headers)
        try:
            async with sending as answer:
                pass  # its body says nothing, and is not read
        except httpx2.HTTPError as error:
            log.error("the sender cannot be reached", error=type(error).__name__)
            raise (Unavailable(FAILED) if isinstance(error, _NOT_SENT) else MaybeSent) from None
        if not answer.is_success:
            log.error("the sender refused a message", status=answer.status_code)
            raise Unavailable(FAILED)


_NO_SENDER: Final = (
    "production needs SATCHEL_SENDER_URL and SATCHEL_SENDER_SECRET: codes are printed in"
    " development only"
)


def make_sender(settings: Settings, client: httpx2.AsyncClient) -> Sender:
    """The configured sender.

    Raises:
        RuntimeError: production without one.
    """
    if settings.sender_url is not None and settings.sender_secret is not None:
        return WebhookSender(
            settings.sender_url, settings.sender_secret.get_secret_value().encode(), client
        )
    if settings.environment == "production":
        raise RuntimeError(_NO_SENDER)
    return ConsoleSender()
