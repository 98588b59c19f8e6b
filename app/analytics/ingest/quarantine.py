"""Setting events aside: what cannot be counted is kept for a while with its reason, and never costs
its batch."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import NotFound
from app.identity.principal import Principal
from app.relations.guards import check_references
from app.settings import Settings
from models.app import is_name
from models.base import Raw, now, parse_id
from models.quarantine import QuarantinedEvent
from models.values import UnstorableValue, check_value, escape_row

_LONGEST: Final = 4096
_TELLING: Final = ("type", "event", "eventName", "eventCategory", "messageId")


@dataclass(frozen=True, slots=True)
class Bad:
    """An event that cannot be counted, and why."""

    event: Any
    pointer: str
    code: str
    detail: str
    app_id: str | None = None


async def set_aside(found: Iterable[Bad], principal: Principal, settings: Settings) -> int:
    """Keep events with their reasons; those of a user only while the user is there.

    Returns:
        How many.
    """
    rows = [_row(bad, principal, settings) for bad in found]
    anybodys = [row for row in rows if "userId" not in row]
    if anybodys:
        await QuarantinedEvent.add_all(anybodys)
    for user_id in {row["userId"] for row in rows if "userId" in row}:
        await _set_aside_of(user_id, [row for row in rows if row.get("userId") == user_id])
    return len(rows)


async def _set_aside_of(user_id: ObjectId, rows: list[Raw]) -> None:
    """A user's events go with the user: they refer to them. Of nobody (any more), only the reason
    is kept."""
    known = {
        row["_id"]
        async for row in QuarantinedEvent.raw().find({"_id": {"$in": [r["_id"] for r in rows]}})
    }
    fresh = list({row["_id"]: row for row in rows if row["_id"] not in known}.values())

    async def refer_and_add(session: AsyncClientSession) -> None:
        await check_references(QuarantinedEvent, fresh[0], session)
        await QuarantinedEvent.raw().insert_many(
            [escape_row(row) for row in fresh], session=session
        )

    try:
        if fresh:
            await transaction(refer_and_add)
    except NotFound:
        hidden = ("userId", "event")
        await QuarantinedEvent.add_all(
            [{name: row[name] for name in row if name not in hidden} for row in fresh]
        )


def _row(bad: Bad, principal: Principal, settings: Settings) -> Raw:
    moment = now()
    app_id = bad.app_id or _app_of(bad.event) or principal.app_id
    content = orjson.dumps([app_id, bad.code, str(principal.id), repr(bad.event)[:65536]])
    row: Raw = {
        "_id": hashlib.sha256(content).hexdigest()[:32],
        "pointer": bad.pointer[:256],
        "code": bad.code,
        "detail": bad.detail[:512],
        "sentBy": principal.name,
        "receivedAt": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
        "expiresAt": moment + timedelta(days=settings.quarantine_days),
    }
    if app_id is not None:
        row["appId"] = app_id
    return row | _about(bad, principal)


def _about(bad: Bad, principal: Principal) -> Raw:
    """The event, and whose it is; nothing of a person who is not known here."""
    if bad.code == "unknown_user":
        return {}
    event, user_id = _bounded(bad.event), _user_of(bad.event, principal)
    return {"event": event} | ({} if user_id is None else {"userId": user_id})


def _user_of(event: Any, principal: Principal) -> ObjectId | None:
    if principal.kind == "user":
        return principal.id
    named = event.get("userId") if isinstance(event, dict) else None
    return parse_id(named) if isinstance(named, str) else None


def _app_of(event: Any) -> str | None:
    app_id = event.get("appId") if isinstance(event, dict) else None
    return app_id if isinstance(app_id, str) and is_name(app_id) else None


def _bounded(event: Any) -> Any:
    """The event, or of one that is long or cannot be stored what tells it from others."""
    try:
        check_value(event)
        if len(orjson.dumps(event)) <= _LONGEST:
            return event
    except (UnstorableValue, TypeError):
        pass
    if not isinstance(event, dict):
        return None
    return {name: str(event[name])[:256] for name in _TELLING if name in event}
