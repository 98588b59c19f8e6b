"""Every index there is, with the query that it serves. The required ones stand first, ours after
them."""

from typing import Final

from indexes.app_data import OURS_APP_DATA
from indexes.index import SPARSE, UNIQUE, Index
from models import (
    Activity,
    Analytics,
    ApiKey,
    App,
    AppData,
    ArchivedDay,
    AuditEvent,
    AuthIdentity,
    BankAccount,
    Budget,
    Card,
    CardEvent,
    CardQueue,
    Connection,
    CountDay,
    Deletion,
    ErasedMessage,
    Erasure,
    ExternalId,
    IdempotencyKey,
    IdentityJoin,
    Invitation,
    Job,
    KeyUsage,
    OutsideLink,
    PeopleDay,
    Person,
    PersonMerge,
    PhoneOtp,
    Preferences,
    Profile,
    Project,
    PropertyDay,
    PropertyValue,
    QuarantinedEvent,
    RefreshToken,
    RepositoryConnection,
    SessionDay,
    SpendingProfile,
    Stored,
    Transaction,
    User,
    VisitSession,
    WebhookEvent,
)
from models.user import ADMINS

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
        Index({"appId": 1, "timestamp": -1}, "an app's latest activities"),
        Index({"sessionId": 1, "timestamp": -1}, "a session's latest activities"),
        Index({"eventType": 1, "timestamp": -1}, "the latest activities of a type"),
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
            {"timestamp": 1}, "Analytics.get_event_counts and get_category_counts of a time span"
        ),
        Index({"userId": 1, "timestamp": -1}, "the counts of one user"),
        Index({"eventCategory": 1, "timestamp": -1}, "the counts of one category"),
        Index({"eventName": 1, "timestamp": -1}, "the counts of one event"),
        Index({"appId": 1, "timestamp": -1}, "the counts of one app"),
        Index({"sessionId": 1, "timestamp": -1}, "the events of one session"),
    ],
}
"""The requirements' list, by exactly its keys and options. `email` is unique through a partial
filter."""

REQUIRED_CARDS: Final[dict[type[Stored], list[Index]]] = {
    User: [Index({"accountId": 1}, "delete and count the users of an account")],
    Card: [
        Index({"accountId": 1}, "delete and count the cards of an account"),
        Index({"userId": 1}, "which cards are in the way of deleting a user, or become orphaned"),
        Index({"spendingProfileId": 1}, "count the cards that a spending profile affects"),
        Index({"accountId": 1, "userId": 1}, "a user's cards within their account"),
        Index({"accountId": 1, "status": 1}, "active cards per account"),
    ],
    SpendingProfile: [
        Index({"accountId": 1}, "delete and count the spending profiles of an account")
    ],
}
"""The requirements' list for cards: every foreign key, and composite ones."""

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
    ],
    App: [Index({"queriesChangedAt": 1}, "App.find_changed_queries", SPARSE)],
    Analytics: [
        Index(
            {"appId": 1, "messageId": 1},
            "store an event once however often it is sent",
            {"unique": True, "partialFilterExpression": {"messageId": {"$gt": ""}}},
        ),
        Index({"receivedAt": 1, "appId": 1}, "the rollups' next window, and what came in after it"),
        Index(
            {"appId": 1, "eventName": 1, "timestamp": -1},
            "funnels, and the counts of one event of an app",
        ),
        Index(
            {"appId": 1, "externalId": 1},
            "give the events of an external id to the user whom it turned out to be",
            {"partialFilterExpression": {"externalId": {"$gt": ""}}},
        ),
        Index(
            {"appId": 1, "anonymousId": 1},
            "give the events of an anonymous id to whom it turned out to be",
            {"partialFilterExpression": {"anonymousId": {"$gt": ""}}},
        ),
    ],
    CountDay: [
        Index({"day": 1, "appId": 1}, "counts of a time span, of one app or all"),
        Index({"appId": 1, "day": 1}, "counts of one app"),
    ],
    PeopleDay: [
        Index(
            {"scope": 1, "level": 1, "day": 1, "appId": 1, "stamp": 1},
            "people of a time span, and whether they changed",
        ),
        Index({"appId": 1, "day": 1}, "recount a day of an app"),
    ],
    PropertyDay: [
        Index({"property": 1, "day": 1, "appId": 1}, "top values of a property"),
        Index({"appId": 1, "day": 1}, "recount a day of an app"),
        Index({"due": 1}, "property days that are to be counted anew", SPARSE),
    ],
    PropertyValue: [
        Index(
            {"group": 1, "total": -1, "value": 1},
            "PropertyValue.most_frequent: what is listed where events go; all of a property day",
        ),
    ],
    SessionDay: [
        Index({"day": 1, "appId": 1}, "sessions of a time span"),
        Index({"appId": 1, "day": 1}, "recount a day of an app"),
    ],
    VisitSession: [
        Index({"appId": 1, "start": 1}, "recount a day; forget sessions whose events are archived")
    ],
    Person: [
        Index({"userId": 1}, "the numbers of a user; delete them with the user", SPARSE),
        Index({"number": 1}, "everybody who is known by a number, when two turn out to be one"),
    ],
    PersonMerge: [Index({"into": 1}, "earlier numbers of a person")],
    IdentityJoin: [
        Index({"userId": 1}, "delete with the user", SPARSE),
        Index({"due": 1}, "joins to carry out", SPARSE),
        Index({"appId": 1, "state": 1, "_id": 1}, "GET /v1/analytics/joins, page by page"),
        Index(
            {"appId": 1, "externalId": 1},
            "who was joined to an external id, when its own join is undone",
            {"partialFilterExpression": {"externalId": {"$gt": ""}}},
        ),
    ],
    ExternalId: [
        Index(
            {"appId": 1, "externalId": 1}, "ExternalId.users_of; one user to an external id", UNIQUE
        ),
        Index({"userId": 1}, "delete with the user"),
    ],
    QuarantinedEvent: [
        Index({"receivedAt": -1, "_id": -1}, "GET /v1/analytics/quarantine, page by page"),
        Index({"appId": 1, "receivedAt": -1, "_id": -1}, "the same with appId="),
        Index({"userId": 1}, "delete with the user", SPARSE),
        Index(
            {"expiresAt": 1}, "TTL: gone after SATCHEL_QUARANTINE_DAYS", {"expireAfterSeconds": 0}
        ),
    ],
    KeyUsage: [Index({"expiresAt": 1}, "TTL: forgotten after two days", {"expireAfterSeconds": 0})],
    ArchivedDay: [Index({"appId": 1, "day": 1}, "what is archived of an app")],
    Erasure: [
        Index({"at": 1}, "erasures since an archive was last rewritten"),
        Index(
            {"digests": 1},
            "Erasure.erased_keys: whether a late event is by an id that was an erased user's",
        ),
    ],
    ErasedMessage: [
        Index(
            {"expiresAt": 1}, "TTL: forgotten when no client resends it", {"expireAfterSeconds": 0}
        )
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

OURS_CARDS: Final[dict[type[Stored], list[Index]]] = {
    ApiKey: [Index({"accountId": 1}, "delete the keys of an account", SPARSE)],
    User: [
        Index(
            {"accountId": 1, "claimedEmail": 1},
            "User.is_claimed: what an account says its users' emails are, each once in the account",
            {"unique": True, "partialFilterExpression": {"claimedEmail": {"$gt": ""}}},
        ),
        Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/users, page by page"),
        *(
            Index(
                {"accountId": 1, name: 1},
                "an admin among the users of an account",
                {"partialFilterExpression": each},
            )
            for each in ADMINS
            for name in each
        ),
    ],
    Card: [
        Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/cards, page by page"),
        Index({"accountId": 1, "userId": 1, "_id": -1}, "the same with userId="),
        Index({"accountId": 1, "status": 1, "_id": -1}, "the same with status="),
        Index(
            {"accountId": 1, "spendingProfileId": 1, "_id": -1},
            "the same with spendingProfileId=; fan-out of one",
        ),
    ],
    SpendingProfile: [
        Index({"accountId": 1, "_id": -1}, "GET /v1/accounts/{id}/spending-profiles, page by page")
    ],
    CardQueue: [
        Index({"accountId": 1}, "delete the queues of an account"),
        Index(
            {"dueAt": 1, "accountId": 1},
            "CardQueue.claim: the queue that is longest due, those of busy accounts left out",
            {"partialFilterExpression": {"waiting": {"$gt": 0}}},
        ),
    ],
    CardEvent: [
        Index(
            {"subject": 1, "sequence": 1},
            "CardEvent.next_of: the events of a card in order",
            UNIQUE,
        ),
        Index({"fanOutAfter": 1}, "CardEvent.find_fan_out", SPARSE),
        Index({"state": 1, "_id": -1}, "GET /v1/admin/card-events: what was given up"),
        Index(
            {"accountId": 1, "state": 1, "_id": -1},
            "the same with accountId=; delete the events of an account",
        ),
        Index(
            {"accountId": 1, "subject": 1, "sequence": 1},
            "CardEvent.find_dead: what was given up, card by card in its order",
            {"partialFilterExpression": {"state": "dead"}},
        ),
        Index(
            {"expiresAt": 1}, "TTL: gone 30 days after it was dealt with", {"expireAfterSeconds": 0}
        ),
    ],
}
"""Indexes of our own for the card programme."""

TABLES: Final = (REQUIRED, REQUIRED_CARDS, OURS, OURS_APP_DATA, OURS_CARDS)
INDEXES: Final[dict[type[Stored], list[Index]]] = {
    document: [index for table in TABLES for index in table.get(document, [])]
    for document in dict.fromkeys(document for table in TABLES for document in table)
}
"""The whole table."""
