"""THE table of relationships: which field refers to which collection, and what happens when that
document goes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from models.account import Account
from models.activity import Activity
from models.analytics import Analytics
from models.api_key import ApiKey
from models.app_data import AppData
from models.app_usage import AppUsage
from models.auth_identity import AuthIdentity
from models.bank_account import BankAccount
from models.base import Stored, stored_name
from models.card import ACTIVE, Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.external_id import ExternalId
from models.invitation import Invitation
from models.person import IdentityJoin, Person
from models.phone_otp import PhoneOtp
from models.preferences import Preferences
from models.profile import Profile
from models.project import Project
from models.quarantine import QuarantinedEvent
from models.refresh_token import RefreshToken
from models.repository_connection import RepositoryConnection
from models.spending_profile import SpendingProfile
from models.transaction import Transaction
from models.user import User
from models.webhook_event import WebhookEvent


class OnDelete(Enum):
    """What happens to a child when its parent is deleted (Django's semantics).

    CASCADE: it goes too. SET_NULL: its reference is taken away. RESTRICT: the parent stays, unless
        the child goes in
    the same deletion. PULL: the item that refers is taken out of the child's list.
    """

    CASCADE = "CASCADE"
    RESTRICT = "RESTRICT"
    SET_NULL = "SET_NULL"
    PULL = "PULL"


class Insert(Enum):
    """How inserting a child is kept from racing the deletion of its parent (docs/architecture.md,
    Deletion).

    COLD inserts count up the parent's `guard` in their transaction. STRIPED ones count up one of
    the parent's guard documents (`models.guard`), for parents below which many write at once. HOT
    ones are done under a lease.
    """

    COLD = "cold"
    STRIPED = "striped"
    HOT = "hot"


class OnMerge(Enum):
    """What happens to a child when its parent is merged into another one (docs/merging.md).

    MOVE: it becomes the other's, in batches after the commit. AT_ONCE: in the commit. FIELDS: the
    other has one, too, and what this one says is filled into it, in the commit. DROP: it goes with
    the one who is merged, as sessions do.
    """

    MOVE = "MOVE"
    AT_ONCE = "AT_ONCE"
    FIELDS = "FIELDS"
    DROP = "DROP"


@dataclass(frozen=True, slots=True)
class Relation:
    """`child.field` refers to the id of a `parent`.

    Attributes:
        child: the collection that refers.
        field: the attribute that refers; `members.user_id` for the `user_id` of the items of a
            list.
        parent: the collection that is referred to.
        on_delete: what happens to the child when the parent goes.
        insert: how an insert is kept from racing that.
        one_to_one: each parent has at most one child.
        tenant: the attribute that child and parent must have equal where the child refers to the
            parent.
        when: RESTRICT only: a filter on the child's stored fields; outside it the relation is
            SET_NULL.
        companion: stored fields that are set together with taking the reference away.
        refused: what a client is told who refers to a parent that is not there or of another
            tenant; where it is None, the parent stands in the path of the request, and the answer
            is 404.
        at_once: a credential: it goes in the transaction that deletes the parent, however large the
            rest is.
        merge: what a merge does to the child; None: MOVE, and AT_ONCE of a credential.
    """

    child: type[Stored]
    field: str
    parent: type[Stored]
    on_delete: OnDelete
    insert: Insert = Insert.COLD
    one_to_one: bool = False
    tenant: str | None = None
    when: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    companion: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    refused: str | None = None
    at_once: bool = False
    merge: OnMerge | None = None

    @property
    def on_merge(self) -> OnMerge:
        """What happens to the child when the parent is merged into another."""
        return self.merge or (OnMerge.AT_ONCE if self.at_once else OnMerge.MOVE)

    @property
    def stored(self) -> str:
        """The field's path as stored."""
        return ".".join(map(stored_name, self.field.split(".")))

    @property
    def label(self) -> str:
        """`cards.userId`, which names the relation everywhere."""
        return f"{self.child.collection_name()}.{self.stored}"

    @property
    def stored_tenant(self) -> str | None:
        """The tenant's field as stored; on a parent that is the tenant itself, its `_id`."""
        return None if self.tenant is None else stored_name(self.tenant)


Relations = tuple[Relation, ...]
CASCADE, RESTRICT, SET_NULL, PULL = (
    OnDelete.CASCADE,
    OnDelete.RESTRICT,
    OnDelete.SET_NULL,
    OnDelete.PULL,
)
HOT, STRIPED = Insert.HOT, Insert.STRIPED
AT_ONCE, FIELDS, DROP = OnMerge.AT_ONCE, OnMerge.FIELDS, OnMerge.DROP

RELATIONS: Final[Relations] = (
    Relation(Profile, "user_id", User, CASCADE, one_to_one=True, merge=FIELDS),
    Relation(Preferences, "user_id", User, CASCADE, one_to_one=True, merge=FIELDS),
    Relation(Activity, "user_id", User, CASCADE, HOT),
    Relation(AppData, "user_id", User, CASCADE, HOT),
    Relation(Analytics, "user_id", User, CASCADE, HOT),
    Relation(AppUsage, "user_id", User, CASCADE, merge=DROP),
    # After the events, whose deletion hook asks for the person's numbers.
    Relation(Person, "user_id", User, CASCADE, merge=AT_ONCE),
    Relation(IdentityJoin, "user_id", User, CASCADE),
    Relation(ExternalId, "user_id", User, CASCADE),
    Relation(QuarantinedEvent, "user_id", User, CASCADE),
    Relation(AuthIdentity, "user_id", User, CASCADE, at_once=True),
    Relation(RefreshToken, "user_id", User, CASCADE, at_once=True, merge=DROP),
    Relation(PhoneOtp, "user_id", User, CASCADE, at_once=True, merge=DROP),
    # The card programme. Queues stand before events: an event needs its queue.
    Relation(User, "account_id", Account, CASCADE, STRIPED),
    Relation(Card, "account_id", Account, CASCADE, STRIPED),
    Relation(SpendingProfile, "account_id", Account, CASCADE, STRIPED),
    Relation(
        Card,
        "user_id",
        User,
        RESTRICT,
        tenant="account_id",
        when={"status": {"$in": list(ACTIVE)}},
        companion={"status": "orphaned"},
        refused="User does not belong to this account",
        merge=AT_ONCE,
    ),
    Relation(
        Card,
        "spending_profile_id",
        SpendingProfile,
        SET_NULL,
        tenant="account_id",
        refused="Spending profile does not belong to this account",
    ),
    Relation(
        ApiKey,
        "account_id",
        Account,
        CASCADE,
        STRIPED,
        refused="There is no such active account",
        at_once=True,
    ),
    Relation(CardQueue, "account_id", Account, CASCADE, STRIPED),
    Relation(CardEvent, "account_id", Account, CASCADE, STRIPED),
    Relation(Connection, "user_id", User, CASCADE, at_once=True),
    Relation(BankAccount, "connection_id", Connection, CASCADE, tenant="user_id"),
    Relation(BankAccount, "user_id", User, CASCADE),
    Relation(Transaction, "bank_account_id", BankAccount, CASCADE, tenant="user_id"),
    Relation(Transaction, "user_id", User, CASCADE),
    Relation(Project, "members.user_id", User, PULL, merge=AT_ONCE),
    Relation(
        Project, "account_id", Account, CASCADE, STRIPED, refused="There is no such active account"
    ),
    # it stays as one of an id that was never anybody's
    Relation(Invitation, "user_id", User, SET_NULL),
    Relation(Invitation, "project_id", Project, CASCADE),
    Relation(RepositoryConnection, "project_id", Project, CASCADE, at_once=True),
    Relation(WebhookEvent, "connection_id", RepositoryConnection, CASCADE),
)

EXEMPT: Final[dict[tuple[str, str], str]] = {
    ("users", "valu_user_id"): "an id in another system",
    ("users", "merkos_user_id"): "an id in another system",
    ("activities", "app_id"): "an app needs no registration",
    ("activities", "session_id"): "a label of the client's own",
    ("appdata", "app_id"): "an app needs no registration",
    ("deletions", "app_id"): "an app needs no registration",
    ("appusage", "app_id"): "an app needs no registration",
    ("analytics", "app_id"): "an app needs no registration",
    ("analytics", "session_id"): "a label of the client's own",
    ("analytics", "external_id"): "an id in another system",
    ("analytics", "anonymous_id"): "a label of the client's own",
    ("analytics", "message_id"): "a label of the client's own",
    ("identityjoins", "app_id"): "an app needs no registration",
    ("identityjoins", "external_id"): "an id in another system",
    ("externalids", "app_id"): "an app needs no registration",
    ("externalids", "external_id"): "an id in another system",
    ("quarantine", "app_id"): "an app needs no registration",
    ("analyticssessions", "app_id"): "an app needs no registration",
    ("countdays", "app_id"): "an app needs no registration",
    ("peopledays", "app_id"): "an app needs no registration",
    ("propertydays", "app_id"): "an app needs no registration",
    ("propertyvalues", "app_id"): "an app needs no registration",
    ("sessiondays", "app_id"): "an app needs no registration",
    ("archiveddays", "app_id"): "an app needs no registration",
    ("apikeys", "app_id"): "an app needs no registration",
    ("connections", "enrollment_id"): "an id in another system",
    ("bankaccounts", "provider_id"): "an id in another system",
    ("transactions", "provider_id"): "an id in another system",
    ("repositoryconnections", "webhook_id"): "an id in another system",
    ("repositoryconnections", "remote_id"): "an id in another system",
    ("webhookevents", "delivery_id"): "an id in another system",
    (
        "outsidelinks",
        "origin_id",
    ): "what it came from is deleted; the link goes once it is removed outside",
    ("outsidelinks", "owner_id"): "of what it came from; the link goes once it is removed outside",
    (
        "outsidelinks",
        "root_id",
    ): "what the owner was deleted with; the link goes once it is removed outside",
    ("authidentities", "provider_id"): "an id in another system",
    ("refreshtokens", "app_id"): "an app needs no registration",
    (
        "auditevents",
        "user_id",
    ): "the trail tells of users who are gone, too; it names their ids and nothing else",
    (
        "idempotencykeys",
        "resource_id",
    ): "of any collection; gone within a day, and a repeat looks the resource up anew",
}
"""Fields that end in `_id` and refer to no document, as (collection, attribute): the reason."""


def children_of(parent: type[Stored], relations: Relations = RELATIONS) -> list[Relation]:
    """The relations whose parent is this collection."""
    return [relation for relation in relations if relation.parent is parent]


def references_of(child: type[Stored], relations: Relations = RELATIONS) -> list[Relation]:
    """The relations whose child is this collection."""
    return [relation for relation in relations if relation.child is child]
