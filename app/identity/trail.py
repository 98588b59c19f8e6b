"""The audit trail: what was done that matters to whom it was done to, kept as long as the settings
say."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from app.database import client
from models.audit_event import AuditEvent, AuditKind
from models.base import Session


async def record(
    kind: AuditKind,
    by: str,
    *,
    user_id: ObjectId | None = None,
    detail: Mapping[str, Any] | None = None,
    session: Session = None,
) -> None:
    """Add to the trail, in the transaction of what it tells of where there is one."""
    await AuditEvent.record(
        kind, by, client().audit_for, user_id=user_id, detail=detail, session=session
    )


def entry(
    kind: AuditKind,
    by: str,
    *,
    user_id: ObjectId | None = None,
    detail: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """What is to be added to the trail, now."""
    return AuditEvent.entry(kind, by, client().audit_for, user_id=user_id, detail=detail)
