"""What is known of an app's data of a user as a whole: how far versions were used, and how far
tombstones are gone."""

from bson import ObjectId
from bson import Timestamp as ClusterTime
from pydantic import Field

from models.app import AppId
from models.base import Session, now
from models.owned import OwnedByUser
from models.user import User


class AppUsage(OwnedByUser):
    """One per user and app of whose data tombstones were purged."""

    app_id: AppId
    floor: int = Field(
        default=0, description="No key that is made from now on has a version up to this one."
    )
    horizon: ClusterTime | None = Field(
        default=None,
        description="Cursors from before this moment may miss tombstones that are gone.",
    )

    class Settings:
        name = "appusage"

    @classmethod
    async def find_horizon(cls, user_id: ObjectId, app_id: str) -> ClusterTime | None:
        """The moment that a cursor must not be older than; None where none is too old."""
        row = await cls.raw().find_one({"userId": user_id, "appId": app_id}, {"horizon": 1})
        return None if row is None else row.get("horizon")

    @classmethod
    async def raise_floor(
        cls, user_id: ObjectId, app_id: str, floor: int, horizon: ClusterTime, *, session: Session
    ) -> None:
        """Have new keys count on from a version, and cursors from before a moment refused; neither
        goes down again.

        The user has the largest floor of all their apps: it comes with the lease, so no write asks
        for it.

        Args:
            user_id: whose.
            app_id: which app's.
            floor: the largest version that is to be forgotten.
            horizon: as of `find_horizon`.
            session: of a transaction in which the user was found, and written (`models.guard`).
        """
        moment = now()
        update = {
            "$max": {"floor": floor, "horizon": horizon},
            "$inc": {"version": 1},
            "$set": {"updatedAt": moment},
            "$setOnInsert": {"createdAt": moment},
        }
        await cls.raw().update_one(
            {"userId": user_id, "appId": app_id}, update, upsert=True, session=session
        )
        await User.raw().update_one(
            {"_id": user_id}, {"$max": {"versionFloor": floor}}, session=session
        )
