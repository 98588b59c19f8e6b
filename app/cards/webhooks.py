"""Sending an event to an account's webhook: signed, without following redirects, without keeping
what it answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
from bson import ObjectId

from app.accounts.webhook_keys import WebhookKeys, load_webhook_keys
from app.accounts.webhook_urls import see_that_it_may_lead
from app.cards.queries import read_cards
from app.outside.addresses import RefusedAddress
from app.outside.client import new_client
from app.outside.places import Turns
from app.outside.signatures import standard_webhook
from app.settings import Settings
from app.shown.documents import current, profile_view
from app.web.body import dump_json
from models.account import Account
from models.base import Raw, now
from models.card_event import CardEvent
from models.spending_profile import SpendingProfile

_CARD: Final = "card."


class DeliveryFailed(Exception):
    """The webhook did not take the event; the message says why, and nothing of what it answered.

    Attributes:
        reason: one of few words for it, for the metric.
    """

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Sender:
    """Sends events; one to a worker. `turns` are those of the accounts."""

    def __init__(self, client: httpx2.AsyncClient, keys: WebhookKeys, settings: Settings) -> None:
        self._client = client
        self._keys = keys
        self.settings = settings
        self.turns = Turns(settings.webhook_concurrency)

    async def send(self, event: CardEvent) -> bool:
        """Send one event.

        Returns:
            Whether there is a webhook to send it to.

        Raises:
            DeliveryFailed: no 2xx came back in time.
        """
        account = await Account.find_by_id(event.account_id)
        if account is None or account.webhook_url is None:
            return False
        body = dump_json(await payload(event))
        try:
            async with asyncio.timeout(self.settings.webhook_timeout_seconds):
                status = await self._post(
                    account.webhook_url, body, self._headers(account, event, body)
                )
        except TimeoutError:
            raise DeliveryFailed("timeout", "timeout") from None
        except RefusedAddress as error:
            raise DeliveryFailed(str(error), "refused_address") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            raise DeliveryFailed(type(error).__name__, "no_connection") from None
        if not httpx2.codes.is_success(status):
            raise DeliveryFailed(f"HTTP {status}", f"http_{status // 100}xx")
        return True

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        see_that_it_may_lead(url, self.settings)
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            return response.status_code

    def _headers(self, account: Account, event: CardEvent, body: bytes) -> dict[str, str]:
        """For a day after a rotation there are two signatures."""
        account_id = ObjectId(str(account.id))
        rotations = [account.webhook_rotation]
        if account.webhook_previous_until is not None and account.webhook_previous_until > now():
            rotations.append(account.webhook_rotation - 1)
        keys = [self._keys.key(account_id, each) for each in rotations]
        return {
            "Content-Type": "application/json",
            "User-Agent": "Satchel",
            **standard_webhook(str(event.id), body, keys),
        }


@asynccontextmanager
async def sender(settings: Settings) -> AsyncIterator[Sender]:
    """A sender with connections of its own."""
    limits = httpx2.Limits(max_connections=None)
    async with new_client(
        settings, timeout=settings.webhook_timeout_seconds, limits=limits
    ) as client:
        yield Sender(client, load_webhook_keys(settings), settings)


async def _of_card(event: CardEvent, where: Raw) -> Raw:
    cards = await read_cards(where, limit=1)
    shown = current(cards[0]) if cards else None
    return {"cardId": event.subject, "status": event.status, "card": shown}


async def _of_profile(event: CardEvent, where: Raw) -> Raw:
    row = await SpendingProfile.raw().find_one(where)
    profile = current(profile_view(SpendingProfile.from_stored(row))) if row else None
    data: Raw = {"spendingProfileId": event.subject, "spendingProfile": profile}
    if event.affected_cards is not None:
        data["affectedCards"] = event.affected_cards
    return data


async def payload(event: CardEvent) -> dict[str, Any]:
    """The body: what happened, and the card or the spending profile as it is now, null where it is
    gone."""
    where = {"_id": event.subject, "accountId": event.account_id}
    is_card = event.type.startswith(_CARD)
    data = {
        "accountId": event.account_id,
        "sequence": event.sequence,
        "changed": event.changed,
        **(await _of_card(event, where) if is_card else await _of_profile(event, where)),
    }
    return {"type": event.type, "timestamp": event.created_at, "data": data}
