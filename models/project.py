"""Projects: what a repository connection belongs to, with members and their roles."""

from typing import Annotated, ClassVar, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.base import Fields, Stored

ProjectRole = Literal["admin", "member"]
ProjectName = Annotated[str, Field(min_length=1, max_length=255)]


class Member(Fields):
    """A user's place in a project. Admins change it, members read."""

    user_id: PydanticObjectId
    role: ProjectRole


class Project(Stored):
    """A project. Each user is at most once among its members."""

    GUARDED: ClassVar[bool] = True

    name: ProjectName
    account_id: PydanticObjectId | None = None
    members: list[Member] = Field(default_factory=list, max_length=1000)
    guard: int = 0

    class Settings:
        name = "projects"

    def role_of(self, user_id: ObjectId) -> ProjectRole | None:
        """A user's role, None for who is no member."""
        return next((member.role for member in self.members if member.user_id == user_id), None)
