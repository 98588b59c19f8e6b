"""Indexes of the card programme, with the query that each serves."""

from typing import Final

from indexes.index import SPARSE, UNIQUE, Index
from models import ApiKey, Card, CardEvent, CardQueue, SpendingProfile, Stored, User
from models.user import ADMINS

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
        Index({"userId": 1, "_id": -1}, "the newest cards of users, by expand=cards"),
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
