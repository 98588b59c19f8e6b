"""The role that a person chooses for themselves; admins grant everything else by `PATCH
/v1/users/{id}`."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import Forbidden, NotFound
from app.identity import trail
from app.settings import Settings
from models.user import ADMIN, User


async def choose_role(settings: Settings, user_id: ObjectId, role: str) -> User:
    """Set the role of a user to a selectable one. Whom an admin has made an admin stays one.

    Raises:
        Forbidden: the role is not for choosing, or the user is an admin by role.
        NotFound: the user is gone.
    """
    if role not in settings.selectable_roles:
        error = {
            "pointer": "/role",
            "code": "forbidden",
            "detail": "this role is granted, not chosen",
        }
        raise Forbidden("this role is granted, not chosen", errors=[error])

    async def work(session: AsyncClientSession) -> User:
        changed = await User.change(
            {"_id": user_id, "role": {"$ne": ADMIN}}, {"role": role}, session=session
        )
        if changed is None:
            if await User.raw().find_one({"_id": user_id}, {"_id": 1}, session=session) is None:
                raise NotFound("there is no such user")
            raise Forbidden("an admin's role is changed by an admin")
        detail = {"role": role}
        await trail.record(
            "role_chosen", f"user:{user_id}", user_id=user_id, detail=detail, session=session
        )
        return changed

    return await transaction(work)
