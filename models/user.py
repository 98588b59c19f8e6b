"""The user: the root document that everything else hangs off."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import AfterValidator, Field
from pymongo.collation import Collation

from models.aside import read_all
from models.base import Fields, Raw, Session, Stored, Timestamp, now
from models.email import canonical_email, sought_email

Email = Annotated[str, AfterValidator(canonical_email)]
SoughtEmail = Annotated[str, AfterValidator(sought_email)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
ForeignId = Annotated[str, Field(min_length=1, max_length=256)]
Grant = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
AuthMethod = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
Role = Literal["creator", "agency", "brand", "gifter", "admin"]
NextStep = Literal["chooseRole"]
Status = Literal["active", "inactive"]
INACTIVE: Final = "inactive"
ADMIN: Final = "admin"
BY_LETTER: Final = Collation("en", strength=1)
"""Compares letters alone: `Zoë` and `zoe` are one."""
_MOST_ALIKE: Final = 200
ADMINS: Final[tuple[Raw, ...]] = ({"role": ADMIN}, {"roles": ADMIN})
"""Filters that admins are found by, each with an index of its own: whoever passes one of them is
one."""


def administers(row: Raw) -> bool:
    """Whether a stored user is an admin: by `role` or among `roles`."""
    return row.get("role") == ADMIN or ADMIN in row.get("roles", ())


class UserContent(Fields):
    """What a caller may say of a user."""

    email: Email | None = None
    name: Name | None = None
    valu_user_id: ForeignId | None = None
    merkos_user_id: ForeignId | None = None
    auth_methods: list[AuthMethod] = Field(default_factory=list, max_length=16)
    roles: list[Grant] = Field(default_factory=lambda: ["user"], max_length=64)
    permissions: list[Grant] = Field(default_factory=list, max_length=256)
    role: Role | None = None
    status: Annotated[
        Status, Field(description="An inactive person keeps everything and can do nothing.")
    ] = "active"


class User(UserContent, Stored):
    """A person. `email` is canonical and unique where there is one; people who sign up by phone
    have none.

    `email_verified_at` is when the person last showed that the email is theirs. `sessions_ended_at`
    is when they ended
    every session but one: access tokens of servers that were minted before it do nothing sensitive
        any more.
    `claimed_email` is what their account says their email is; others may say so too, elsewhere, and
    one may have it.
    """

    GUARDED: ClassVar[bool] = True

    email: str | None = None  # as it is stored: what is no address by a later rule is still read
    account_id: PydanticObjectId | None = None
    last_login: Timestamp | None = None
    email_verified_at: Timestamp | None = None
    claimed_email: str | None = None
    sessions_ended_at: Timestamp | None = None
    guest_until: Annotated[
        Timestamp | None,
        Field(description="Of a guest: when it is looked whether they have come back."),
    ] = None
    version_floor: Annotated[
        int | None,
        Field(
            description=(
                "Keys of app data that are new begin after this version; purged ones had it."
            )
        ),
    ] = None
    imported_as: Annotated[
        str | None,
        Field(repr=False, description="Digest of the line that was imported last."),
    ] = None
    guard: int = 0

    class Settings:
        name = "users"

    @property
    def is_admin(self) -> bool:
        """Whether this person administers the deployment."""
        return administers({"role": self.role, "roles": self.roles})

    @property
    def token_roles(self) -> tuple[str, ...]:
        """What an access token says of `roles`; `admin` is among them for everyone who is one."""
        return (
            (*self.roles, ADMIN)
            if self.role == ADMIN and ADMIN not in self.roles
            else tuple(self.roles)
        )

    @property
    def next_steps(self) -> list[NextStep]:
        """What the person is to do before they go on."""
        return ["chooseRole"] if self.role is None else []

    @classmethod
    async def create_user(cls, content: UserContent, *, session: Session = None) -> Self:
        """Store a new user (required: `createUser`); profile and preferences are made beside it by
        `app.users.create`.

        Raises:
            pymongo.errors.DuplicateKeyError: another user has this canonical email.
        """
        return await cls(**content.model_dump(by_alias=False)).add(session)

    @classmethod
    async def find_by_email(cls, email: str, *, session: Session = None) -> Self | None:
        """The user with this email in any spelling, None where there is none (required:
        `findByEmail`)."""
        try:
            canonical = canonical_email(email)
        except ValueError:
            return None
        row = await cls.raw().find_one({"email": canonical}, session=session)
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_by_keys(cls, keys: Mapping[str, str]) -> list[Raw]:
        """The stored users who have all of these, the newest first, 200 at most.

        Args:
            keys: of `email` (canonical), `valuUserId` and `merkosUserId`, by stored name.
        """
        rows = await cls.raw().find(dict(keys)).limit(_MOST_ALIKE).to_list()
        return sorted(rows, key=lambda row: row["_id"], reverse=True)

    @classmethod
    async def page_by_name(
        cls,
        prefix: str,
        where: Mapping[str, Any],
        limit: int,
        after: tuple[str, ObjectId] | None = None,
    ) -> list[Raw]:
        """The stored users whose names begin so, in their order, whatever case and accents.

        Args:
            prefix: of the name.
            where: further conditions on stored names.
            limit: how many at most.
            after: name and id of the last one already seen.
        """
        span: Raw = {"$gte": prefix, "$lt": f"{prefix}\uffff"}
        query: Raw = {**where, "name": span}
        if after is not None:
            name, last = after
            span["$gte"] = name
            query["$or"] = [{"name": {"$gt": name}}, {"name": name, "_id": {"$gt": last}}]
        found = cls.raw().find(query, collation=BY_LETTER).sort([("name", 1), ("_id", 1)])
        return await found.limit(limit).to_list()

    @classmethod
    async def is_claimed(cls, account_id: ObjectId, email: str, *, session: Session = None) -> bool:
        """Whether a user of the account has this canonical email, by the account's word or by their
        own proof."""
        where = {"accountId": account_id, "claimedEmail": email}
        if await cls.raw().find_one(where, {"_id": 1}, session=session) is not None:
            return True
        row = await cls.raw().find_one({"email": email}, {"accountId": 1}, session=session)
        return row is not None and row.get("accountId") == account_id

    @classmethod
    async def find_by_ids(cls, ids: Sequence[ObjectId], *, session: Session = None) -> list[Self]:
        """The users among these ids, in no order, by one query."""
        cursor = cls.raw().find({"_id": {"$in": list(ids)}}, session=session)
        return read_all(cls, await cursor.to_list())

    @classmethod
    async def find_version_floor(cls, user_id: ObjectId) -> int:
        """The version after which a user's new keys of app data begin; 0 where there is no floor,
        or no user."""
        row = await cls.raw().find_one({"_id": user_id}, {"versionFloor": 1})
        return int((row or {}).get("versionFloor") or 0)

    @classmethod
    async def standing_of(cls, ids: Collection[ObjectId]) -> list[Raw]:
        """What the rights of these users hang on, of those who are there: one query."""
        fields = {"accountId": 1, "role": 1, "roles": 1, "sessionsEndedAt": 1, "status": 1}
        return await cls.raw().find({"_id": {"$in": list(ids)}}, fields).to_list()

    @classmethod
    async def find_lapsed_guests(cls, moment: datetime, limit: int) -> list[Raw]:
        """Stored guests who are to be looked after by then, those that wait longest first."""
        due = {"guestUntil": {"$gt": datetime.fromtimestamp(0, UTC), "$lte": moment}}
        return await cls.raw().find(due).sort("guestUntil", 1).limit(limit).to_list()

    async def update_last_login(self, *, session: Session = None) -> Self:
        """Note a login (required: `updateLastLogin`). `lastLogin` only ever moves forward and moves
        no version.

        Raises:
            LookupError: the user is gone.
        """
        moment = now()
        result = await self.raw().update_one(
            {"_id": self.id}, {"$max": {"lastLogin": moment}}, session=session
        )
        if result.matched_count == 0:
            raise LookupError("the user is gone")
        self.last_login = max(moment, self.last_login or moment)
        return self
