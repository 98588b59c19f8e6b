"""The audit trail: what was done to identities, sessions, grants and keys; only ever added to, gone
after a time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.base import Session, Stored, Timestamp, now

AuditKind = Literal[
    "sign_in_failed",
    "refresh_reused",
    "session_ended",
    "grant",
    "role_chosen",
    "identity_linked",
    "identity_unlinked",
    "email_changed",
    "email_taken",
    "key_created",
    "key_rotated",
    "key_revoked",
    "people_imported",
    "status_changed",
    "person_exported",
    "people_merged",
]


class AuditEvent(Stored):
    """One thing that was done. Names ids and what changed; no secret, and nothing else about a
    person.

    `by` is the principal (`key:<id>`, `user:<id>`), `anonymous` for who had not signed in yet.
    """

    kind: AuditKind
    at: Timestamp = Field(default_factory=now)
    by: str
    user_id: PydanticObjectId | None = None
    detail: dict[str, Any] = Field(default_factory=dict)
    expires_at: Timestamp

    class Settings:
        name = "auditevents"

    @classmethod
    async def record(
        cls,
        kind: AuditKind,
        by: str,
        keep_for: timedelta,
        *,
        user_id: ObjectId | None = None,
        detail: Mapping[str, Any] | None = None,
        session: Session = None,
    ) -> None:
        """Add to the trail, in the transaction of what it tells of where there is one."""
        await cls.entry(kind, by, keep_for, user_id=user_id, detail=detail).add(session)

    @classmethod
    def entry(
        cls,
        kind: AuditKind,
        by: str,
        keep_for: timedelta,
        *,
        user_id: ObjectId | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Self:
        """What is to be added, now."""
        moment = now()
        return cls(
            kind=kind,
            by=by,
            at=moment,
            user_id=user_id,
            detail=dict(detail or {}),
            expires_at=moment + keep_for,
        )
