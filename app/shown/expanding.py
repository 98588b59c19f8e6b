"""`expand=`: what a document refers to, and what refers to it, embedded.

Names come from the table of relations; of what they lead to, that is offered whose form is here.
However many rows there are, and however much is asked for, it is one query.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from bson import ObjectId
from fastapi import Query

from app.errors import NotFound
from app.identity.principal import Principal, authorize
from app.shown.cards import LIMITS_FROM, card_view
from app.shown.documents import (
    AccountView,
    PreferencesView,
    ProfileView,
    View,
    profile_view,
    user_view,
)
from app.shown.links import Link, links_of
from models.account import Account
from models.base import Raw, Stored
from models.card import Card
from models.preferences import Preferences
from models.profile import Profile
from models.spending_profile import SpendingProfile
from models.user import User

ViewT = TypeVar("ViewT", bound=View)
LIMITS: Final = links_of(Card)["spendingProfile"].lookup(LIMITS_FROM)
"""The stage by which a card's row has what limits it."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How a document is embedded.

    Attributes:
        scope: what a key needs to read it by itself.
        show: it, as sent to a caller.
        beside: stages for what its form is made of besides.
    """

    scope: str
    show: Callable[[Raw, Principal], View]
    beside: Sequence[Raw] = ()


def _account(row: Raw, caller: Principal) -> View:
    view = AccountView.model_validate(Account.from_stored(row))
    if caller.kind == "user" and not caller.is_admin:
        view.webhook_url = None
    return view


_FORMS: Final[Mapping[type[Stored], _Form]] = {
    Account: _Form("accounts:read", _account),
    Card: _Form("accounts:read", lambda row, _: card_view(row), (LIMITS,)),
    Preferences: _Form(
        "users:read", lambda row, _: PreferencesView.model_validate(Preferences.from_stored(row))
    ),
    Profile: _Form(
        "users:read", lambda row, _: ProfileView.model_validate(Profile.from_stored(row))
    ),
    SpendingProfile: _Form(
        "accounts:read", lambda row, _: profile_view(SpendingProfile.from_stored(row))
    ),
    User: _Form("accounts:read", lambda row, _: user_view(User.from_stored(row))),
}
"""Users are embedded in what is an account's, whose users a key with `accounts:read` sees."""


def expandable(document: type[Stored], view: type[View]) -> list[str]:
    """What of a document may be asked for: what the table leads to and its form has a place for."""
    places = {field.alias or name for name, field in view.model_fields.items()}
    return sorted(
        name for name, link in links_of(document).items() if link.other in _FORMS and name in places
    )


def expand_query(document: type[Stored], view: type[View]) -> Any:
    """The query parameter `expand` of a document."""
    names = expandable(document, view)
    one = "|".join(names)
    told = ", ".join(f"`{name}`" for name in names)
    return Query(
        pattern=f"^({one})(,({one})){{0,{len(names) - 1}}}$",
        description=f"What to embed, with commas in between: {told}. Of many, the newest 20.",
    )


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a request wants embedded, which its caller may read.

    Attributes:
        document: in what.
        caller: for whom.
        links: by name.
        within: filters on what the caller reaches of a document.
    """

    document: type[Stored]
    caller: Principal
    links: Mapping[str, Link] = field(default_factory=dict)
    within: Mapping[type[Stored], Mapping[str, Any]] = field(default_factory=dict)

    @property
    def stages(self) -> list[Raw]:
        """What reads it along, for the end of a pipeline."""
        return [
            link.lookup(_under(name), _FORMS[link.other].beside, self.within.get(link.other))
            for name, link in self.links.items()
        ]

    def fill(self, view: ViewT, row: Raw) -> ViewT:
        """A form with what its row has of `stages`."""
        update: dict[str, Any] = {}
        for name, link in self.links.items():
            found = [_FORMS[link.other].show(each, self.caller) for each in row[_under(name)]]
            update[_attribute(view, name)] = found if link.is_many else next(iter(found), None)
        return view.model_copy(update=update) if update else view

    async def fill_all(self, views: Sequence[ViewT]) -> list[ViewT]:
        """Forms whose rows were read without `stages`, by one query; none where nothing is asked
        for."""
        if not self.links or not views:
            return list(views)
        fields = {link.relation.stored: 1 for link in self.links.values() if link.is_parent}
        pipeline: list[Raw] = [
            {"$match": {"_id": {"$in": [ObjectId(view.id) for view in views]}}},
            {"$project": {"_id": 1, **fields}},
            *self.stages,
        ]
        rows = await (await self.document.raw().aggregate(pipeline)).to_list()
        by_id = {row["_id"]: row for row in rows}
        return [self.fill(view, by_id[view.id]) for view in views if view.id in by_id]

    async def fill_one(self, view: ViewT) -> ViewT:
        """The same of one.

        Raises:
            NotFound: it is gone.
        """
        if not (filled := await self.fill_all([view])):
            raise NotFound("there is no such document")
        return filled[0]


def expansion(
    expand: str | None,
    document: type[Stored],
    caller: Principal,
    *,
    user_id: ObjectId | None = None,
    account_id: ObjectId | None = None,
    within: Mapping[type[Stored], Mapping[str, Any]] | None = None,
) -> Expansion:
    """What `expand=` names, if its caller may read all of it.

    Args:
        expand: names with commas in between, as `expand_query` admits them.
        document: in what it is embedded.
        caller: for whom.
        user_id: whose data it is about; None for those of many.
        account_id: which account's data it is about; None for those of many.
        within: filters on what the caller reaches of a document.

    Raises:
        Forbidden: the caller may not read what is to be embedded.
    """
    known = links_of(document)
    links = {name: known[name] for name in _named(expand)}
    for link in links.values():
        scope = _FORMS[link.other].scope
        authorize(caller, scope, user_id=user_id, account_id=account_id)
    return Expansion(document, caller, links, within or {})


def _named(expand: str | None) -> Iterable[str]:
    return dict.fromkeys(expand.split(",")) if expand else ()


def _under(name: str) -> str:
    return f"_{name}"


def _attribute(view: View, name: str) -> str:
    fields = type(view).model_fields
    return next(each for each, field in fields.items() if (field.alias or each) == name)
