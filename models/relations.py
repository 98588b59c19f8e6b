"""THE table of relationships: which field refers to which collection, and what happens when that document goes."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydantic.alias_generators import to_camel

from models.activity import Activity
from models.analytics import Analytics
from models.app_data import AppData
from models.base import Stored
from models.preferences import Preferences
from models.profile import Profile
from models.user import User


class OnDelete(Enum):
    """What happens to a child when its parent is deleted (Django's semantics)."""

    CASCADE = "CASCADE"


class Insert(Enum):
    """How inserting a child is kept from racing the deletion of its parent.

    COLD inserts count up the parent's `guard` in their transaction. HOT ones are done under a lease on the parent
    (docs/architecture.md, Deletion).
    """

    COLD = "cold"
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class Relation:
    """`child.field` refers to the id of a `parent`. `field` is the attribute; `stored` is its name in the database."""

    child: type[Stored]
    field: str
    parent: type[Stored]
    on_delete: OnDelete
    insert: Insert = Insert.COLD
    one_to_one: bool = False

    @property
    def stored(self) -> str:
        """The field's name as stored."""
        return to_camel(self.field)


CASCADE, HOT = OnDelete.CASCADE, Insert.HOT

RELATIONS: Final[tuple[Relation, ...]] = (
    Relation(Profile, "user_id", User, CASCADE, one_to_one=True),
    Relation(Preferences, "user_id", User, CASCADE, one_to_one=True),
    Relation(Activity, "user_id", User, CASCADE, HOT),
    Relation(AppData, "user_id", User, CASCADE, HOT),
    Relation(Analytics, "user_id", User, CASCADE, HOT),
)

EXEMPT: Final[dict[tuple[str, str], str]] = {
    ("users", "valu_user_id"): "an id in another system",
    ("users", "merkos_user_id"): "an id in another system",
    ("users", "account_id"): "accounts come with the card programme; until then it is always absent",
    ("activities", "app_id"): "an app needs no registration",
    ("activities", "session_id"): "a label of the client's own",
    ("appdata", "app_id"): "an app needs no registration",
    ("analytics", "app_id"): "an app needs no registration",
    ("analytics", "session_id"): "a label of the client's own",
    ("analytics", "external_id"): "an id in another system",
    ("analytics", "anonymous_id"): "a label of the client's own",
    ("analytics", "message_id"): "a label of the client's own",
    ("apikeys", "app_id"): "an app needs no registration",
    ("idempotencykeys", "resource_id"): "of any collection; gone within a day, and a repeat looks the resource up anew",
}
"""Fields that end in `_id` and refer to no document, as (collection, attribute): the reason."""


def children_of(parent: type[Stored]) -> list[Relation]:
    """The relations whose parent is this collection."""
    return [relation for relation in RELATIONS if relation.parent is parent]
