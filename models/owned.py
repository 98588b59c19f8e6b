"""The virtual `user` of every child of a user (seed 002, Virtual Relationships)."""

from collections.abc import Sequence

from beanie import PydanticObjectId
from pydantic import PrivateAttr

from models.base import Session, Stored
from models.user import User


class OwnedByUser(Stored):
    """A document that belongs to a user; `user` is there once it was populated."""

    user_id: PydanticObjectId
    _user: User | None = PrivateAttr(default=None)

    @property
    def user(self) -> User | None:
        """The owner, after `populate`; None before that, or where there is none."""
        return self._user

    async def populate(self, *, session: Session = None) -> "OwnedByUser":
        """Fetch the owner into `user`."""
        await populate([self], session=session)
        return self


async def populate(children: Sequence[OwnedByUser], *, session: Session = None) -> None:
    """Fetch the owners of any number of children, of one kind or several, into their `user`, by one query."""
    wanted = {child.user_id for child in children if child.user_id is not None}
    if not wanted:
        return
    owners = {user.id: user for user in await User.find_by_ids(list(wanted), session=session)}
    for child in children:
        child._user = owners.get(child.user_id)
