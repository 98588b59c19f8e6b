"""Every index there is, with the query that it serves. The required ones stand first, ours after
them."""

from typing import Final

from indexes.analytics import OURS_ANALYTICS
from indexes.app_data import OURS_APP_DATA
from indexes.cards import OURS_CARDS, REQUIRED_CARDS
from indexes.index import SPARSE, UNIQUE, Index
from models import (
    Activity,
    Analytics,
    ApiKey,
    App,
    AppData,
    AuditEvent,
    AuthIdentity,
    BankAccount,
    Budget,
    Connection,
    Deletion,
    IdempotencyKey,
    Invitation,
    Job,
    LedgerNote,
    OutsideLink,
    PhoneOtp,
    Preferences,
    Profile,
    Project,
    RefreshToken,
    RepositoryConnection,
    Stored,
    Transaction,
    User,
    WebhookEvent,
)

NINETY_DAYS: Final = 90 * 24 * 60 * 60
THIRTY_DAYS: Final = 30 * 24 * 60 * 60


REQUIRED: Final[dict[type[Stored], list[Index]]] = {
    User: [
        Index(
            {"email": 1},
            "User.find_by_email, GET /v1/users?email=; one account per canonical email, none for"
            " people without",
            {"unique": True, "partialFilterExpression": {"email": {"$gt": ""}}},
        ),
        Index({"valuUserId": 1}, "GET /v1/users?valuUserId=; whom an import means", SPARSE),
        Index({"merkosUserId": 1}, "GET /v1/users?merkosUserId=; whom an import means", SPARSE),
        Index({"email": 1, "valuUserId": 1}, "GET /v1/users?email=&valuUserId="),
        Index({"email": 1, "merkosUserId": 1}, "GET /v1/users?email=&merkosUserId="),
    ],
    Profile: [Index({"userId": 1}, "Profile.find_by_user_id; one profile to a user", UNIQUE)],
    Preferences: [Index({"userId": 1}, "Preferences.find_by_user_id; one to a user", UNIQUE)],
    Activity: [
        Index({"userId": 1}, "delete and count the activities of a user"),
        Index({"appId": 1}, "count the activities of an app"),
        Index(
            {"timestamp": 1},
            "TTL: gone 90 days after it happened",
            {"expireAfterSeconds": NINETY_DAYS},
        ),
        Index({"sessionId": 1}, "count the activities of a session"),
        Index({"userId": 1, "timestamp": -1}, "a user's activities of a time span"),
        Index({"appId": 1, "timestamp": -1}, "an app's latest activities", spare=True),
        Index({"sessionId": 1, "timestamp": -1}, "a session's latest activities", spare=True),
        Index({"eventType": 1, "timestamp": -1}, "the latest activities of a type", spare=True),
    ],
    AppData: [
        Index({"userId": 1}, "delete and count the values of a user"),
        Index({"appId": 1}, "count the values of an app"),
        Index({"userId": 1, "appId": 1}, "everything that an app knows of a user"),
        Index(
            {"userId": 1, "appId": 1, "dataKey": 1},
            "AppData: get, put, delete; one value to a key",
            UNIQUE,
        ),
    ],
    Analytics: [
        Index({"userId": 1}, "delete and count the events of a user"),
        Index({"eventName": 1}, "count an event over all time"),
        Index({"eventCategory": 1}, "count a category over all time"),
        Index(
            {"timestamp": 1},
            "questions of all apps that read events; Analytics.get_event_counts of a time span",
        ),
        Index({"userId": 1, "timestamp": -1}, "GET /v1/users/{id}/events, page by page"),
        Index({"eventCategory": 1, "timestamp": -1}, "the counts of one category", spare=True),
        Index({"eventName": 1, "timestamp": -1}, "the counts of one event", spare=True),
        Index({"appId": 1, "timestamp": -1}, "archive and recount a day of an app"),
        Index({"sessionId": 1, "timestamp": -1}, "the events of one session", spare=True),
    ],
}
"""The requirements' list, by exactly its keys and options. `email` is unique through a partial
filter."""

OURS: Final[dict[type[Stored], list[Index]]] = {
    Activity: [
        Index(
            {"userId": 1, "timestamp": -1, "_id": -1}, "GET /v1/users/{id}/activity, page by page"
        ),
        Index({"userId": 1, "appId": 1, "timestamp": -1, "_id": -1}, "the same with appId="),
        Index(
            {"userId": 1, "eventType": 1, "timestamp": -1, "_id": -1}, "the same with eventType="
        ),
        Index(
            {"userId": 1, "sessionId": 1, "timestamp": -1, "_id": -1},
            "the same with sessionId=",
            {"partialFilterExpression": {"sessionId": {"$gt": ""}}},
        ),
    ],
    User: [
        Index(
            {"name": 1, "_id": 1},
            "GET /v1/users?prefix=, in the order of names, whatever their case and accents",
            {"sparse": True, "collation": {"locale": "en", "strength": 1}},
        ),
        Index(
            {"role": 1, "_id": -1},
            "GET /v1/users?role=, page by page",
            {"partialFilterExpression": {"role": {"$gt": ""}}},
        ),
        Index(
            {"role": 1, "name": 1, "_id": 1},
            "GET /v1/users?prefix=&role=, where few of those with such names have the role",
            {
                "partialFilterExpression": {"role": {"$gt": ""}},
                "collation": {"locale": "en", "strength": 1},
            },
        ),
        Index({"status": 1, "_id": -1}, "GET /v1/users?status=, page by page"),
        Index({"guestUntil": 1}, "guests who did not come back", SPARSE),
    ],
    App: [Index({"queriesChangedAt": 1}, "App.find_changed_queries", SPARSE)],
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
    Job: [
        Index({"state": 1, "runAt": 1}, "app.jobs: claim the job that is longest due"),
        Index(
            {"state": 1, "kind": 1, "runAt": 1},
            "app.jobs: which are due next of a kind, beside many of another",
        ),
        Index(
            {"lastRunAt": 1},
            "TTL: gone 30 days after it was done",
            {"expireAfterSeconds": THIRTY_DAYS, "partialFilterExpression": {"state": "done"}},
        ),
    ],
    IdempotencyKey: [
        Index({"expiresAt": 1}, "TTL: forgotten after a day", {"expireAfterSeconds": 0})
    ],
    Connection: [
        Index({"userId": 1, "_id": -1}, "GET /v1/users/{id}/connections, page by page"),
        Index({"nextAttemptAt": 1}, "Connection.find_due: the periodic sync", SPARSE),
        Index({"enrollmentId": 1}, "Teller's webhooks name an enrollment", SPARSE),
        Index(
            {"userId": 1, "enrollmentId": 1},
            "one connection of a person to a login, or its history would be there twice",
            {"unique": True, "partialFilterExpression": {"enrollmentId": {"$gt": ""}}},
        ),
    ],
    BankAccount: [
        Index(
            {"connectionId": 1, "providerId": 1},
            "a sync finds its accounts; each once per connection",
            UNIQUE,
        ),
        Index({"connectionId": 1, "_id": -1}, "GET /v1/connections/{id}/accounts, page by page"),
        Index({"userId": 1}, "delete and count the bank accounts of a user"),
        Index({"providerId": 1}, "Teller's webhooks name accounts"),
    ],
    Transaction: [
        Index(
            {"bankAccountId": 1, "providerId": 1},
            "Transaction.store; each once per bank account",
            UNIQUE,
        ),
        Index(
            {"bankAccountId": 1, "date": -1, "_id": -1},
            "GET /v1/bank-accounts/{id}/transactions, page by page",
        ),
        Index(
            {"bankAccountId": 1, "status": 1, "date": -1, "_id": -1},
            "the same with status=; oldest_pending",
        ),
        Index({"userId": 1}, "delete and count the transactions of a user"),
    ],
    Project: [
        Index({"members.userId": 1, "_id": -1}, "GET /v1/projects of a member, page by page"),
        Index({"accountId": 1}, "delete and count the projects of an account", SPARSE),
    ],
    Invitation: [
        Index(
            {"projectId": 1, "invited": 1},
            "Invitation.offer: a project invites each id once",
            UNIQUE,
        ),
        Index({"projectId": 1, "_id": -1}, "GET /v1/projects/{id}/invitations, page by page"),
        Index(
            {"userId": 1, "_id": -1},
            "GET /v1/users/me/invitations, page by page; delete those of a user",
        ),
        Index(
            {"expiresAt": 1},
            "TTL: gone when they can be accepted no longer",
            {"expireAfterSeconds": 0},
        ),
    ],
    RepositoryConnection: [
        Index({"projectId": 1}, "RepositoryConnection.find_by_project"),
        Index({"repositoryUrl": 1}, "one project to a repository", UNIQUE),
        Index(
            {"remoteId": 1},
            "the same, whatever the repository is called",
            {"unique": True, "partialFilterExpression": {"remoteId": {"$gt": ""}}},
        ),
        Index({"nextHealthCheckAt": 1}, "RepositoryConnection.claim_due: health checks", SPARSE),
    ],
    WebhookEvent: [
        Index({"connectionId": 1, "deliveryId": 1}, "each delivery is stored once", UNIQUE),
        Index(
            {"connectionId": 1, "digest": 1},
            "a signed body is taken once, whatever delivery id stands above it",
            {"unique": True, "partialFilterExpression": {"digest": {"$gt": ""}}},
        ),
        Index(
            {"connectionId": 1, "receivedAt": -1, "_id": -1},
            "GET .../repository/events, page by page",
        ),
        Index(
            {"connectionId": 1, "status": 1, "receivedAt": -1, "_id": -1}, "the same with status="
        ),
        Index({"status": 1, "receivedAt": 1, "_id": 1}, "WebhookEvent.find_waiting"),
        Index(
            {"receivedAt": 1},
            "TTL: gone 30 days after it came",
            {"expireAfterSeconds": THIRTY_DAYS},
        ),
    ],
    LedgerNote: [Index({"of": 1}, "LedgerNote.waited_for: whether a receipt can be final")],
    OutsideLink: [
        Index({"kind": 1, "nextAttemptAt": 1}, "OutsideLink.claim: links to remove outside"),
        Index({"ownerId": 1}, "OutsideLink.count_of: what a receipt says of a user or project"),
        Index({"originId": 1}, "the same of a connection"),
        Index({"rootId": 1}, "the same of an account", SPARSE),
    ],
    AuthIdentity: [
        Index(
            {"provider": 1, "providerId": 1},
            "sign-in; nobody else can have the same identity",
            UNIQUE,
        ),
        Index({"userId": 1, "_id": 1}, "a user's identities"),
    ],
    RefreshToken: [
        Index({"tokenHash": 1}, "no two sessions have one token", UNIQUE),
        Index({"userId": 1, "_id": 1}, "a user's sessions, the oldest first"),
        Index({"expiresAt": 1}, "TTL: gone when the session is over", {"expireAfterSeconds": 0}),
    ],
    PhoneOtp: [
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

TABLES: Final = (
    REQUIRED,
    REQUIRED_CARDS,
    OURS,
    OURS_ANALYTICS,
    OURS_APP_DATA,
    OURS_CARDS,
)
INDEXES: Final[dict[type[Stored], list[Index]]] = {
    document: [index for table in TABLES for index in table.get(document, [])]
    for document in dict.fromkeys(document for table in TABLES for document in table)
}
"""The whole table."""
