"""Teller's webhooks: verified by timestamped signatures, and taken as a hint to look, never as the truth.

What an event says is not stored: it makes a sync due, and the sync asks the provider. So a replay within the window
does no harm, and neither does an event that comes late or twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from app.settings import Settings
from app.signatures import BadSignature, is_signed
from models.bank_account import BankAccount
from models.base import now, to_milliseconds
from models.clock import CLOCK
from models.connection import Connection

WINDOW_SECONDS: Final = 180
_MOST: Final = 500


def verify(header: str | None, body: bytes, settings: Settings) -> None:
    """Check `Teller-Signature: t=<unix time>,v1=<hmac>[,v1=<hmac>]` over `<t>.<body>`.

    Raises:
        BadSignature: none of the signatures is by one of our secrets, or the time is more than 3 minutes away.
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
    """Make due what an event is about: the connections of an enrollment, or those of the accounts with transactions."""
    if not isinstance(event, dict) or not isinstance(payload := event.get("payload"), dict):
        return
    happened = _moment(event.get("timestamp"))
    if event.get("type") == "enrollment.disconnected" and isinstance(payload.get("enrollment_id"), str):
        await _make_due({"enrollmentId": payload["enrollment_id"]}, happened)
    elif event.get("type") == "transactions.processed":
        await _make_due({"_id": {"$in": await _connections_of(payload.get("transactions"))}}, happened)


async def _connections_of(transactions: Any) -> Sequence[Any]:
    told = transactions[:_MOST] if isinstance(transactions, list) else []
    ids = {item["account_id"] for item in told if isinstance(item, dict) and isinstance(item.get("account_id"), str)}
    if not ids:
        return []
    rows = BankAccount.raw().find({"providerId": {"$in": sorted(ids)}}, {"connectionId": 1}).limit(_MOST)
    return [row["connectionId"] async for row in rows]


async def _make_due(where: dict[str, Any], happened: datetime) -> None:
    """Have connections synced soon, after the sync that may be under way; a newer token than the event knows better."""
    query = {**where, "status": "connected", "authenticatedAt": {"$lt": happened}}
    await Connection.raw().update_many(query, {"$min": {"nextAttemptAt": now()}, "$set": {"hinted": True}})


def _moment(text: Any) -> datetime:
    try:
        return to_milliseconds(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return now()
