"""Every index there is, with the query that it serves. Seed 002's list stands first, ours after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models import (
    Activity,
    Analytics,
    ApiKey,
    AppData,
    AuditEvent,
    AuthIdentity,
    Budget,
    Card,
    CardEvent,
    CardQueue,
    Deletion,
    IdempotencyKey,
    Job,
    PhoneOtp,
    Preferences,
    Profile,
    RefreshToken,
    SpendingProfile,
    Stored,
    User,
)

Keys = Mapping[str, int]
NINETY_DAYS: Final = 90 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its keys in order (1 ascending, -1 descending), its options, and the query that it is for."""

    keys: Keys
    serves: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that the driver gives by default: `userId_1_timestamp_-1`."""
        return "_".join(f"{name}_{direction}" for name, direction in self.keys.items())


UNIQUE: Final = {"unique": True}
SPARSE: Final = {"sparse": True}

SEED: Final[dict[type[Stored], list[Index]]] = {
    User: [
        Index(
            {"email": 1},
            "User.find_by_email, GET /v1/users?email=; one account per canonical email, none for people without",
            {"unique": True, "partialFilterExpression": {"email": {"$gt": ""}}},
        ),
        Index({"valuUserId": 1}, "find a person by their id in Valu", SPARSE),
        Index({"merkosUserId": 1}, "find a person by their id in Merkos", SPARSE),
        Index({"email": 1, "valuUserId": 1}, "match an email to an id in Valu"),
        Index({"email": 1, "merkosUserId": 1}, "match an email to an id in Merkos"),
    ],
    Profile: [Index({"userId": 1}, "Profile.find_by_user_id; one profile to a user", UNIQUE)],
    Preferences: [Index({"userId": 1}, "Preferences.find_by_user_id; one to a user", UNIQUE)],
    Activity: [
        Index({"userId": 1}, "delete and count the activities of a user"),
        Index({"appId": 1}, "count the activities of an app"),
        Index({"timestamp": 1}, "TTL: gone 90 days after it happened", {"expireAfterSeconds": NINETY_DAYS}),
        Index({"sessionId": 1}, "count the activities of a session"),
        Index({"userId": 1, "timestamp": -1}, "a user's activities of a time span"),
        Index({"appId": 1, "timestamp": -1}, "an app's latest activities"),
        Index({"sessionId": 1, "timestamp": -1}, "a session's latest activities"),
        Index({"eventType": 1, "timestamp": -1}, "the latest activities of a type"),
    ],
    AppData: [
        Index({"userId": 1}, "delete and count the values of a user"),
        Index({"appId": 1}, "count the values of an app"),
        Index({"userId": 1, "appId": 1}, "everything that an app knows of a user"),
        Index({"userId": 1, "appId": 1, "dataKey": 1}, "AppData: get, put, delete; one value to a key", UNIQUE),
    ],
    Analytics: [
        Index({"userId": 1}, "delete and count the events of a user"),
        Index({"eventName": 1}, "count an event over all time"),
        Index({"eventCategory": 1}, "count a category over all time"),
        Index({"timestamp": 1}, "Analytics.get_event_counts and get_category_counts of a time span"),
        Index({"userId": 1, "timestamp": -1}, "the counts of one user"),
        Index({"eventCategory": 1, "timestamp": -1}, "the counts of one category"),
        Index({"eventName": 1, "timestamp": -1}, "the counts of one event"),
        Index({"appId": 1, "timestamp": -1}, "the counts of one app"),
        Index({"sessionId": 1, "timestamp": -1}, "the events of one session"),
    ],
}
"""Seed 002's list, by exactly its keys and options. `email` is unique through a partial filter (design, section 3)."""

SEED_001: Final[dict[type[Stored], list[Index]]] = {
    User: [Index({"accountId": 1}, "delete and count the users of an account")],
    Card: [
        Index({"accountId": 1}, "delete and count the cards of an account"),
        Index({"userId": 1}, "which cards are in the way of deleting a user, or become orphaned"),
        Index({"spendingProfileId": 1}, "count the cards that a spending profile affects"),
        Index({"accountId": 1, "userId": 1}, "a user's cards within their account"),
        Index({"accountId": 1, "status": 1}, "active cards per account"),
    ],
    SpendingProfile: [Index({"accountId": 1}, "delete and count the spending profiles of an account")],
}
"""Seed 001's list: every foreign key, and the composite ones that it recommends."""

OURS: Final[dict[type[Stored], list[Index]]] = {
    Activity: [
        Index({"userId": 1, "timestamp": -1, "_id": -1}, "GET /v1/users/{id}/activity, page by page"),
        Index({"userId": 1, "appId": 1, "timestamp": -1, "_id": -1}, "the same with appId="),
        Index({"userId": 1, "eventType": 1, "timestamp": -1, "_id": -1}, "the same with eventType="),
        Index(
            {"userId": 1, "sessionId": 1, "timestamp": -1, "_id": -1},
            "the same with sessionId=",
            {"partialFilterExpression": {"sessionId": {"$gt": ""}}},
        ),
    ],
    AppData: [
        Index(
            {"userId": 1, "appId": 1, "dataKey": 1, "deleted": 1},
            "list the live values of an app among any number of tombstones",
            {"partialFilterExpression": {"deleted": False}},
        ),
        Index({"expiresAt": 1}, "AppData.expire_due", SPARSE),
    ],
    Analytics: [
        Index(
            {"appId": 1, "messageId": 1},
            "store an event once however often it is sent",
            {"unique": True, "partialFilterExpression": {"messageId": {"$gt": ""}}},
        ),
    ],
    ApiKey: [
        Index({"hash": 1}, "ApiKey.find_by_secret: every call with a key", UNIQUE),
        Index(
            {"previousHash": 1},
            "ApiKey.find_by_secret while a rotated key overlaps",
            {"unique": True, "partialFilterExpression": {"previousHash": {"$gt": ""}}},
        ),
        Index({"previousUntil": 1}, "cleanup: secrets whose overlap is over", SPARSE),
    ],
    Deletion: [
        Index({"nextSweepAt": 1}, "Deletion.find_due: late sweeps", SPARSE),
        Index(
            {"of": 1, "stage": 1, "root": 1},
            "Deletion.find_pending: what came with a root and is to be swept next",
            {"partialFilterExpression": {"of": {"$exists": True}}},
        ),
        Index(
            {"of": 1, "final": 1},
            "Deletion.has_unsettled: whether a receipt is final",
            {"partialFilterExpression": {"of": {"$exists": True}}},
        ),
    ],
    Job: [Index({"state": 1, "runAt": 1}, "app.jobs: claim the job that is longest due")],
    IdempotencyKey: [Index({"expiresAt": 1}, "TTL: forgotten after a day", {"expireAfterSeconds": 0})],
    AuthIdentity: [
        Index({"provider": 1, "providerId": 1}, "sign-in; nobody else can have the same identity (seed 004)", UNIQUE),
        Index({"userId": 1, "_id": 1}, "a user's identities"),
    ],
    RefreshToken: [
        Index({"tokenHash": 1}, "no two sessions have one token", UNIQUE),
        Index({"userId": 1, "_id": 1}, "a user's sessions, the oldest first"),
        Index({"expiresAt": 1}, "TTL: gone when the session is over", {"expireAfterSeconds": 0}),
    ],
    PhoneOtp: [
        Index({"subject": 1}, "one challenge to a recipient and purpose", UNIQUE),
        Index({"userId": 1}, "the challenges of a user who goes", SPARSE),
        Index({"expiresAt": 1}, "TTL: gone when the code is over", {"expireAfterSeconds": 0}),
    ],
    Budget: [Index({"expiresAt": 1}, "TTL: gone when the span is over", {"expireAfterSeconds": 0})],
    AuditEvent: [
        Index({"userId": 1, "_id": -1}, "the trail of one user, newest first"),
        Index({"kind": 1, "_id": -1}, "the trail of one kind, newest first"),
        Index({"expiresAt": 1}, "TTL: kept for SATCHEL_AUDIT_DAYS", {"expireAfterSeconds": 0}),
    ],
}
"""Indexes of our own."""

OURS_CARDS: Final[dict[type[Stored], list[Index]]] = {
    ApiKey: [Index({"accountId": 1}, "delete the keys of an account", SPARSE)],
    User: [Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/users, page by page")],
    Card: [
        Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/cards, page by page"),
        Index({"accountId": 1, "userId": 1, "_id": -1}, "the same with userId="),
        Index({"accountId": 1, "status": 1, "_id": -1}, "the same with status="),
        Index({"accountId": 1, "spendingProfileId": 1, "_id": -1}, "the same with spendingProfileId=; fan-out of one"),
    ],
    SpendingProfile: [Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/spending-profiles, page by page")],
    CardQueue: [
        Index({"accountId": 1}, "delete the queues of an account"),
        Index(
            {"dueAt": 1, "accountId": 1},
            "CardQueue.claim: the queue that is longest due, those of busy accounts left out",
            {"partialFilterExpression": {"waiting": {"$gt": 0}}},
        ),
    ],
    CardEvent: [
        Index({"subject": 1, "sequence": 1}, "CardEvent.next_of: the events of a card in order", UNIQUE),
        Index({"fanOutAfter": 1}, "CardEvent.find_fan_out", SPARSE),
        Index({"state": 1, "_id": -1}, "GET /v1/admin/card-events: what was given up"),
        Index({"accountId": 1, "state": 1, "_id": -1}, "the same with accountId=; delete the events of an account"),
        Index({"expiresAt": 1}, "TTL: gone 30 days after it was dealt with", {"expireAfterSeconds": 0}),
    ],
}
"""Indexes of our own for the card programme."""

TABLES: Final = (SEED, SEED_001, OURS, OURS_CARDS)
INDEXES: Final[dict[type[Stored], list[Index]]] = {
    document: [index for table in TABLES for index in table.get(document, [])]
    for document in dict.fromkeys(document for table in TABLES for document in table)
}
"""The whole table."""
