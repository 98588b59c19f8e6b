"""Invitations: a user is asked into a project, and is a member once they accept."""

from datetime import datetime
from typing import Any, ClassVar, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo import ReturnDocument

from models.base import Raw, Session, Stored, Timestamp, now
from models.project import ProjectRole


class Invitation(Stored):
    """A place in a project that is offered. It opens nothing until it is accepted, and is over at
    `expires_at`.

    `invited` is the id that was given, whether or not anybody has it, so that whoever invites does
    not learn who is here. `user_id` is the same where there was such a user, for as long as there
    is: they see it, and without them it is what one of an id that was never anybody's is, until it
        is over.
    """

    GUARDED: ClassVar[bool] = True

    project_id: PydanticObjectId
    invited: PydanticObjectId
    user_id: PydanticObjectId | None = None
    role: ProjectRole
    expires_at: Timestamp

    class Settings:
        name = "invitations"

    @classmethod
    def open_to(cls, user_id: ObjectId) -> Raw:
        """The filter of what a user may still accept."""
        return {"userId": user_id, "expiresAt": {"$gt": now()}}

    @classmethod
    def open_in(cls, project_id: ObjectId) -> Raw:
        """The filter of what a project still offers."""
        return {"projectId": project_id, "expiresAt": {"$gt": now()}}

    @classmethod
    async def offer(
        cls,
        project_id: ObjectId,
        invited: ObjectId,
        user_id: ObjectId | None,
        role: ProjectRole,
        until: datetime,
        *,
        session: Session,
    ) -> Self:
        """Store an invitation, or renew the one there is: a project invites each id once."""
        moment = now()
        fields: Raw = {"role": role, "expiresAt": until, "updatedAt": moment}
        if user_id is not None:
            fields["userId"] = user_id
        row: Any = await cls.raw().find_one_and_update(
            {"projectId": project_id, "invited": invited},
            {"$set": fields, "$inc": {"version": 1}, "$setOnInsert": {"createdAt": moment}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return cls.from_stored(row)

    @classmethod
    async def take(
        cls, project_id: ObjectId, user_id: ObjectId, *, session: Session = None
    ) -> Self | None:
        """Use up what a project offers a user; None where it offers nothing (any more)."""
        where = {**cls.open_in(project_id), "invited": user_id, "userId": user_id}
        row = await cls.raw().find_one_and_delete(where, session=session)
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_open(cls, project_id: ObjectId, invited: ObjectId) -> Self | None:
        """What a project offers an id; None where it offers nothing."""
        row = await cls.raw().find_one({**cls.open_in(project_id), "invited": invited})
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def withdraw(
        cls, project_id: ObjectId, invited: ObjectId, *, session: Session = None
    ) -> Self | None:
        """Offer an id nothing any more; what was offered, if anything was."""
        where = {**cls.open_in(project_id), "invited": invited}
        row = await cls.raw().find_one_and_delete(where, session=session)
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def count_of(cls, project_id: ObjectId, *, session: Session = None) -> int:
        """How many invitations of a project are open."""
        return await cls.raw().count_documents(cls.open_in(project_id), session=session)
