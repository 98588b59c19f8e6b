"""Every operation of connections, projects and their children, for test_explain."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId

from app.database import transaction
from models.bank_account import BankAccount
from models.base import now
from models.connection import Connection, Named
from models.deletion import Deletion
from models.invitation import Invitation
from models.outside_link import OutsideLink
from models.project import Project
from models.repository_connection import RepositoryConnection
from models.sealed import Sealed
from models.transaction import Transaction, TransactionContent
from models.webhook_event import WebhookEvent
from tests.factories.keyrings import a_connection
from tests.filled_links import ACCOUNTS, CONNECTIONS, PROJECTS, REPOSITORIES, SEALED

Operation = Callable[[], Awaitable[Any]]
SOON = now() + timedelta(minutes=1)
_SPARE = iter(CONNECTIONS[10:])
LONG_AGO = now() - timedelta(days=300)


async def held(connection_id: ObjectId) -> Connection:
    """A connection whose sync has begun."""
    begun = await Connection.begin_sync(connection_id, SOON)
    assert begun is not None
    return begun


def account(number: int, link: int | None = None) -> BankAccount:
    fields: Any = {
        "user_id": ObjectId(),
        "connection_id": ObjectId(),
        "provider_id": "acc",
        "name": "n",
    }
    return BankAccount(id=ACCOUNTS[number], type="checking", currency="USD", link=link, **fields)


async def page() -> None:
    """What a page of a sync writes."""
    told = [
        TransactionContent(
            provider_id=f"txn{number}",
            amount=1,
            date="2026-11-01",
            description="d",
            status="posted",
        )
        for number in (0, 120, 99_999)
    ]
    connection = await held(next(_SPARE))

    async def work(session: Any) -> None:
        for link in (None, 2):
            await Transaction.store(account(0, link), told, "p2", session)
        await Transaction.keep(ACCOUNTS[0], ["txn1"], "p2", session)
        await connection.note_progress(
            "{}", SOON, 3, [], [Named(account_id="a", provider_id="t")], session=session
        )

    await transaction(work)


async def ended() -> None:
    connection = await held(CONNECTIONS[2])
    await connection.end_sync({"failures": 1}, unhinted=True)


async def hint_taken() -> None:
    await (await held(CONNECTIONS[4])).take_hint()


async def renewed() -> None:
    await (await held(CONNECTIONS[3])).renew(SOON)


async def listed() -> None:
    first = await Transaction.list_of(ACCOUNTS[1], 5)
    after = (first[-1].date, ObjectId(first[-1].id))
    for status in (None, "posted"):
        await Transaction.list_of(ACCOUNTS[1], 5, after=after, status=status)  # type: ignore[arg-type]
        await Transaction.list_of(
            ACCOUNTS[1], 5, start="2026-01-01", end="2027-01-01", status=status
        )  # type: ignore[arg-type]


async def events() -> None:
    first = await WebhookEvent.list_of(REPOSITORIES[1], LONG_AGO, 5)
    after = (first[-1].received_at, ObjectId(first[-1].id))
    await WebhookEvent.list_of(REPOSITORIES[1], LONG_AGO, 5, after=after)
    await WebhookEvent.list_of(REPOSITORIES[1], LONG_AGO, 5, status="failed", after=after)


async def settled() -> None:
    event, *_ = await WebhookEvent.find_waiting(1)
    await event.refill()
    await event.settle("processed", None)


async def linked() -> None:
    link = OutsideLink.of(
        "bank", {"_id": ObjectId(), "userId": ObjectId(), "accessToken": SEALED}, "userId", {}
    )
    assert isinstance(link.access_token, Sealed)
    await transaction(lambda session: OutsideLink.add_all([link], session))


async def kept_secret() -> None:
    """A sealed value stored, and stored anew, under a key that the database does not know yet."""
    row = {"_id": PydanticObjectId(), "userId": PydanticObjectId()}
    sealed = Sealed({**SEALED, "k": str(ObjectId())})
    await transaction(a_connection(row, sealed).add)
    fields = {"accessToken": sealed.stored()}
    await transaction(
        lambda session: Connection.change({"_id": row["_id"]}, fields, session=session)
    )


async def claimed() -> OutsideLink:
    await linked()
    found = await OutsideLink.claim("bank")
    assert found is not None
    return found


async def put_off() -> None:
    assert await (await claimed()).put_off(now(), "x")


async def removed() -> None:
    assert await (await claimed()).remove()


LINK_OPERATIONS: dict[str, list[Operation]] = {
    "Stored.list_newest": [
        lambda: Connection.list_newest({"userId": ObjectId()}, 5),
        lambda: Connection.list_newest({"userId": ObjectId()}, 5, CONNECTIONS[5]),
        lambda: BankAccount.list_newest({"connectionId": CONNECTIONS[0]}, 5),
        lambda: BankAccount.list_newest({"connectionId": CONNECTIONS[0]}, 5, ACCOUNTS[1]),
        lambda: Project.list_newest({}, 5),
        lambda: Project.list_newest({"members.userId": ObjectId()}, 5, PROJECTS[3]),
        lambda: Invitation.list_newest(Invitation.open_to(ObjectId()), 5, PROJECTS[3]),
        lambda: Invitation.list_newest(Invitation.open_in(PROJECTS[3]), 5),
    ],
    "Stored.find_by_id": [lambda: Connection.find_by_id(CONNECTIONS[0])],
    "Stored.earliest": [
        lambda: Deletion.earliest("nextSweepAt"),
        lambda: Connection.earliest("nextAttemptAt"),
        lambda: RepositoryConnection.earliest("nextHealthCheckAt"),
        lambda: OutsideLink.earliest("nextAttemptAt", {"kind": "bank"}),
    ],
    "Connection.find_due": [
        lambda: Connection.find_due(now(), 5),
        lambda: Connection.find_due(now(), 1, [ObjectId()], healthy=True),
    ],
    "Connection.renew": [renewed],
    "Connection.note_progress": [page],
    "Connection.take_hint": [hint_taken],
    "Connection.end_sync": [ended],
    "Connection.hint": [
        lambda: Connection.hint({CONNECTIONS[5]: [Named(account_id="a", provider_id="t")]})
    ],
    "Transaction.list_of": [listed],
    "Transaction.oldest_pending": [
        lambda: Transaction.oldest_pending(account(0)),
        lambda: Transaction.oldest_pending(account(0, 2)),
    ],
    "Transaction.store": [page],
    "Transaction.keep": [page],
    "Transaction.find_unseen": [
        lambda: Transaction.find_unseen(account(3), None, "p2", 5),
        lambda: Transaction.find_unseen(account(3), "2026-11-01", "p2", 5),
        lambda: Transaction.find_unseen(account(3, 2), "2026-11-01", "p2", 5),
    ],
    "Transaction.find_superseded": [
        lambda: Transaction.find_superseded(account(3, 2), "2026-11-01", 5)
    ],
    "RingKey.use": [kept_secret],
    "Invitation.offer": [
        lambda: Invitation.offer(PROJECTS[0], ObjectId(), None, "member", SOON, session=None),
        lambda: Invitation.offer(
            PROJECTS[0], PROJECTS[1], PROJECTS[1], "admin", SOON, session=None
        ),
    ],
    "RepositoryConnection.claim_due": [
        RepositoryConnection.claim_due,
        lambda: RepositoryConnection.claim_due(healthy=True),
    ],
    "WebhookEvent.list_of": [events],
    "WebhookEvent.settle": [settled],
    "WebhookEvent.refill": [settled],
    "OutsideLink.claim": [
        lambda: OutsideLink.claim("bank"),
        lambda: OutsideLink.claim("bank", fresh=True),
    ],
    "OutsideLink.put_off": [put_off],
    "OutsideLink.remove": [removed],
    "OutsideLink.add_all": [linked],
    "OutsideLink.credit": [
        lambda: transaction(lambda session: OutsideLink.credit(ObjectId(), [ObjectId()], session))
    ],
}
