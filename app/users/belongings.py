"""The rules of what is one to one with a user: profile and preferences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from bson import ObjectId
from pydantic import BaseModel, ValidationError
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import joined, transaction
from app.database.loader import Loader
from app.database.turns import turn
from app.errors import NotFound
from app.relations.guards import check_references
from app.shown.documents import PreferencesView, ProfileView, View, current
from app.web.body import dump_json
from app.web.patches import PatchKind, apply_patch
from app.web.preconditions import require
from app.web.read_only import ReadOnlyOfUser, refuse_changes, told, writable
from app.web.validation.errors import validation_problem
from models.base import Fields, Raw
from models.living import only_living
from models.owned import OneToOne
from models.precondition import Expected
from models.preferences import Preferences, PreferencesContent
from models.profile import Profile, ProfileContent
from models.values import Json

Loaded = tuple[Raw, bool]
"""A document as it is stored, and whether it lives: what is still to be swept does not."""
Belongings = Loader[ObjectId, Loaded]
"""Loads the one document of each of these users."""
V = TypeVar("V", bound=View)
C = TypeVar("C", bound=Fields)


def _without(fixed: Raw, after: Json) -> Json:
    """A patched document without its read-only fields: sent back unchanged they are welcome;
    changed they are refused as unknown fields."""
    if not isinstance(after, dict):
        return after
    return {
        name: value for name, value in after.items() if name not in fixed or fixed[name] != value
    }


@dataclass(frozen=True, slots=True)
class Belonging(Generic[V, C]):
    """One kind of document that each user has one of: its class, its content, how it is sent, what
    a PUT takes."""

    document: type[OneToOne]
    content: type[C]
    view: type[V]
    replacement: type[BaseModel]

    async def load(self, user_ids: Sequence[ObjectId]) -> dict[ObjectId, Loaded]:
        """The documents of users by one query, and whether each lives by another."""
        wanted: Any = user_ids[0] if len(user_ids) == 1 else {"$in": list(user_ids)}
        rows = await self.document.raw().find({"userId": wanted}, session=joined()).to_list()
        alive = {row["_id"] for row in await only_living(self.document, rows)}
        return {row["userId"]: (row, row["_id"] in alive) for row in rows}

    async def find(self, user_id: ObjectId, loader: "Belongings | None" = None) -> V:
        """The user's document; made with defaults where a script made the user without.

        Args:
            user_id: whose.
            loader: finds it in company with those that others ask for; None for alone.

        Raises:
            NotFound: there is no such user.
        """
        found = (
            (await self.load([user_id])).get(user_id)
            if loader is None
            else await loader.get(user_id)
        )
        if found is None:
            return await self._make(user_id)
        row, lives = found
        if not lives:
            raise NotFound("there is no such user")
        return self.view.model_validate(self.document.from_stored(row))

    async def put(self, user_id: ObjectId, content: BaseModel, expected: Expected | None) -> V:
        """Replace the content.

        Args:
            user_id: whose.
            content: a `replacement`.
            expected: the precondition.

        Raises:
            NotFound: there is no such user.
            VersionMismatch: the precondition does not hold.
            Invalid: the content tells a read-only field otherwise than it is.
        """
        fields = writable(content)
        async with turn(self.document.__name__, user_id) as patience:
            while True:
                now = await self.find(user_id)
                require(expected, current(now))
                refuse_changes(content, now)
                version = now.version if expected is not None or told(content) else None
                changed = await self.document.change(
                    {"userId": user_id}, fields, expected=version, session=joined()
                )
                if changed is not None:
                    return self.view.model_validate(changed)
                await patience.again()

    async def patch(
        self, user_id: ObjectId, kind: PatchKind, patch: Json, expected: Expected | None
    ) -> V:
        """Change the content by a patch of what `GET` shows.

        Raises:
            NotFound: there is no such user.
            VersionMismatch: the precondition does not hold.
            Invalid: the result is not acceptable.
        """
        async with turn(self.document.__name__, user_id) as patience:
            while True:
                now = await self.find(user_id)
                require(expected, current(now))
                fields = self._patched(now, kind, patch)
                if not fields:
                    return now
                changed = await self.document.change(
                    {"userId": user_id}, fields, expected=now.version, session=joined()
                )
                if changed is not None:
                    return self.view.model_validate(changed)
                await patience.again()

    def _patched(self, now: V, kind: PatchKind, patch: Json) -> Raw:
        """The new fields by stored name; none where the patch changes nothing."""
        before = current(now)
        names = self._content_names()
        fixed = {name: before.pop(name) for name in list(before) if name not in names}
        after = _without(fixed, apply_patch(kind, patch, before | fixed))
        try:
            content = self.content.model_validate(after)
        except ValidationError as error:
            raise validation_problem(error.errors(), "") from None
        shown = content.model_dump(mode="json", by_alias=True)
        # 1 is not true here
        same = dump_json(shown) == dump_json({name: before.get(name) for name in shown})
        return {} if same else content.model_dump(by_alias=True)

    def _content_names(self) -> set[str]:
        return {str(field.alias) for field in self.content.model_fields.values()}

    async def _make(self, user_id: ObjectId) -> V:
        async def work(session: AsyncClientSession) -> OneToOne:
            await check_references(self.document, {"userId": user_id}, session)
            return await self.document.find_or_create(user_id, session=session)

        return self.view.model_validate(await transaction(work))


class ProfileReplacement(ProfileContent, ReadOnlyOfUser):
    """A profile as it is put; what is read-only may be left out, or be as it was shown."""


class PreferencesReplacement(PreferencesContent, ReadOnlyOfUser):
    """Preferences as they are put; what is read-only may be left out, or be as it was shown."""


PROFILE: Final = Belonging(Profile, ProfileContent, ProfileView, ProfileReplacement)
PREFERENCES: Final = Belonging(
    Preferences, PreferencesContent, PreferencesView, PreferencesReplacement
)


def loaders(seconds: float) -> dict[type[OneToOne], Belongings]:
    """A loader of each kind, for the requests of one process.

    Args:
        seconds: how long a lookup may take.
    """
    return {each.document: Loader(each.load, seconds) for each in (PROFILE, PREFERENCES)}
