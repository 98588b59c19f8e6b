"""Some hundred connections, transactions, projects and webhook events, for the planner of
queries."""

from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

CONNECTIONS = [ObjectId() for _ in range(60)]
ACCOUNTS = [ObjectId() for _ in range(120)]
PROJECTS = [ObjectId() for _ in range(60)]
REPOSITORIES = [ObjectId() for _ in range(60)]
SEALED = {"v": 1, "k": "k1", "n": b"n" * 12, "c": b"c" * 32}


async def fill_links(database: AsyncDatabase[Any], users: list[ObjectId], now: datetime) -> None:
    """Put them into a database that has users."""

    def ago(number: int) -> datetime:
        return now - timedelta(minutes=37 * number % 40_000)

    def owner(number: int) -> ObjectId:
        return users[number % len(users)]

    await database.connections.insert_many(
        {
            "_id": each, "userId": owner(number), "provider": "teller", "institution": "B",
            "label": "l",
            "status": "connected", "accessToken": SEALED, "nextAttemptAt": ago(number),
            "enrollmentId": f"enr{number}",
            "createdAt": now, "updatedAt": now, "version": 1, "syncFence": 0,
            "authenticatedAt": now,
        }
        for number, each in enumerate(CONNECTIONS)
    )  # fmt: skip
    await database.bankaccounts.insert_many(
        {
            "_id": each, "userId": owner(number // 2), "connectionId": CONNECTIONS[number // 2],
            "name": "Checking",
            "providerId": f"acc{number}", "type": "checking", "currency": "USD", "status": "open",
            "version": 1,
        }
        for number, each in enumerate(ACCOUNTS)
    )  # fmt: skip
    await database.transactions.insert_many(
        {
            "userId": owner(number % 120 // 2), "bankAccountId": ACCOUNTS[number % 120],
            "providerId": f"txn{number}",
            "amount": number, "date": f"{ago(number):%Y-%m-%d}", "description": "d", "seenIn": "p",
            "version": 1,
            "status": "pending" if number % 9 == 0 else "posted",
        }
        for number in range(4000)
    )  # fmt: skip
    await database.projects.insert_many(
        {
            "_id": each,
            "name": "P",
            "members": [{"userId": owner(number), "role": "admin"}],
            "version": 1,
            "guard": 0,
        }
        for number, each in enumerate(PROJECTS)
    )
    await database.invitations.insert_many(
        {
            "projectId": PROJECTS[number % 60], "invited": ObjectId(), "userId": owner(number),
            "role": "member",
            "expiresAt": now + timedelta(hours=number), "version": 1,
        }
        for number in range(1200)
    )  # fmt: skip
    await database.repositoryconnections.insert_many(
        {
            "_id": each, "projectId": PROJECTS[number], "repositoryUrl": f"https://github.com/a/{number}",
            "serviceType": "GitHub", "accessToken": SEALED, "webhookSecret": SEALED,
            "connectedAt": ago(9000),
            "isActive": True, "nextHealthCheckAt": ago(number), "version": 1,
        }
        for number, each in enumerate(REPOSITORIES)
    )  # fmt: skip
    await database.webhookevents.insert_many(
        {
            "connectionId": REPOSITORIES[number % 60], "deliveryId": f"d{number}",
            "digest": f"x{number}",
            "event": "push", "payload": {}, "status": ("processed", "failed",
            "received")[number % 10 % 3],
            "receivedAt": ago(number), "version": 1, "attempts": 0,
        }
        for number in range(3000)
    )  # fmt: skip
    await database.outsidelinks.insert_many(
        {
            "kind": ("bank", "repository")[number % 2], "originId": ObjectId(),
            "ownerId": owner(number),
            "accessToken": SEALED, "details": {}, "nextAttemptAt": ago(number), "attempts": 0,
            "createdAt": now,
        }
        for number in range(200)
    )  # fmt: skip
