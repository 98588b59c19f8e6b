"""Emails of people whose deletion has begun: free at once, though the sweep may get to their users
later."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from models.living import is_living
from models.user import User


async def free_email(email: str, taker: ObjectId, session: AsyncClientSession) -> None:
    """Take an email from a user who goes with a deleted account, before another is given it in this
    transaction."""
    row = await User.raw().find_one({"email": email}, {"_id": 1, "accountId": 1}, session=session)
    if row is not None and row["_id"] != taker and not await is_living(User, row, session=session):
        await User.change(
            {"_id": row["_id"]}, {"email": None, "emailVerifiedAt": None}, session=session
        )
