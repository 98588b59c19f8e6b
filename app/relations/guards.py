"""Guards: inserting a child of a parent, in a transaction that conflicts with the parent's deletion."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import NotFound
from models.base import Stored


async def guard(parent: type[Stored], parent_id: ObjectId, session: AsyncClientSession) -> None:
    """Count up the parent's guard, which moves no version. To be called before the child is inserted.

    Raises:
        NotFound: there is no such parent.
    """
    result = await parent.raw().update_one({"_id": parent_id}, {"$inc": {"guard": 1}}, session=session)
    if result.matched_count == 0:
        raise NotFound("there is no such document to belong to")
