"""Teller's webhooks: verified by timestamped signatures, and taken as a hint to look, never as the
truth.

Of an event the ids alone are stored: it makes a sync due, and the sync asks the provider for each.
    So a replay
within the window does no harm, and neither does an event that comes late or twice.
"""

from datetime import datetime
from typing import Any, Final, TypeGuard

from bson import ObjectId

from app.outside.signatures import BadSignature, is_signed
from app.settings import Settings
from models.bank_account import BankAccount
from models.base import now, to_milliseconds
from models.clock import CLOCK
from models.connection import Connection, Named

WINDOW_SECONDS: Final = 180
_MOST: Final = 500
_LONGEST_ID: Final = 256


def verify(header: str | None, body: bytes, settings: Settings) -> None:
    """Check `Teller-Signature: t=<unix time>,v1=<hmac>[,v1=<hmac>]` over `<t>.<body>`.

    Raises:
        BadSignature: none of the signatures is by one of our secrets, or the time is more than 3
            minutes away.
    """
    parts = [part.strip().partition("=") for part in (header or "").split(",")][:20]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
        raise BadSignature
    if abs(CLOCK.time() - int(times[0])) > WINDOW_SECONDS:
        raise BadSignature
    secrets = [secret.get_secret_value() for secret in settings.teller_webhook_secrets]
    message = times[0].encode() + b"." + body
    if not is_signed(message, [value for name, _, value in parts if name == "v1"], secrets):
        raise BadSignature


async def take(event: Any) -> None:
    """Make due what an event is about: the connections of an enrollment, or those of the accounts
    with transactions."""
    if not isinstance(event, dict) or not isinstance(payload := event.get("payload"), dict):
        return
    if event.get("type") == "enrollment.disconnected" and isinstance(
        payload.get("enrollment_id"), str
    ):
        await _make_due(payload["enrollment_id"], _moment(event.get("timestamp")))
    elif event.get("type") == "transactions.processed":
        await Connection.hint(await _by_connection(_named(payload.get("transactions"))))


def _named(transactions: Any) -> dict[str, list[Named]]:
    """What an event names, by the provider's id of the account; an account may stand there without
    a transaction."""
    found: dict[str, list[Named]] = {}
    for item in transactions[:_MOST] if isinstance(transactions, list) else []:
        if isinstance(item, dict) and _is_id(account := item.get("account_id")):
            names = found.setdefault(account, [])
            if _is_id(item.get("id")):
                names.append(Named(account_id=account, provider_id=item["id"]))
    return found


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID


async def _by_connection(named: dict[str, list[Named]]) -> dict[ObjectId, list[Named]]:
    """The same by the connections that have the accounts."""
    found: dict[ObjectId, list[Named]] = {}
    if named:
        where = {"providerId": {"$in": sorted(named)}}
        async for row in (
            BankAccount.raw().find(where, {"connectionId": 1, "providerId": 1}).limit(_MOST)
        ):
            found.setdefault(row["connectionId"], []).extend(named[row["providerId"]])
    return found


async def _make_due(enrollment: str, happened: datetime) -> None:
    """Have a login synced soon, after the sync that may be under way; a newer token than the event
    knows better."""
    query = {
        "enrollmentId": enrollment,
        "status": "connected",
        "authenticatedAt": {"$lt": happened},
    }
    await Connection.raw().update_many(
        query, {"$min": {"nextAttemptAt": now()}, "$set": {"hinted": True}}
    )


def _moment(text: Any) -> datetime:
    try:
        return to_milliseconds(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return now()
