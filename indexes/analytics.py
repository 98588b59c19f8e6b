"""Indexes of analytics beside the required ones, with the query that each serves."""

from typing import Final

from indexes.index import SPARSE, UNIQUE, Index
from models import (
    Analytics,
    ArchivedDay,
    CountDay,
    ErasedMessage,
    Erasure,
    ExternalId,
    IdentityJoin,
    KeyUsage,
    PeopleDay,
    Person,
    PersonMerge,
    PropertyDay,
    PropertyValue,
    QuarantinedEvent,
    SessionDay,
    Stored,
    VisitSession,
)

OURS_ANALYTICS: Final[dict[type[Stored], list[Index]]] = {
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
}
