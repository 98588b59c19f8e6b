"""Ids of people in other systems: how a Segment `userId`, a CRM's number and the like find a
user."""

from collections.abc import Collection

from beanie import PydanticObjectId
from bson import ObjectId

from models.app import AppId
from models.base import Raw, Stored


class ExternalId(Stored):
    """One link: this external id of this app is that user. Each id of an app is one user at
    most."""

    app_id: AppId
    external_id: str
    user_id: PydanticObjectId

    class Settings:
        name = "externalids"

    @classmethod
    async def users_of(cls, app_id: str, external_ids: Collection[str]) -> dict[str, ObjectId]:
        """External id -> user, for those that are known."""
        where: Raw = {"appId": app_id, "externalId": {"$in": list(external_ids)}}
        cursor = cls.raw().find(where, {"_id": 0, "externalId": 1, "userId": 1})
        return {row["externalId"]: row["userId"] async for row in cursor}
