"""What the worker does for cards: each card of a changed spending profile is told that its limits
changed."""

from collections.abc import Mapping
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.cards.outbox import NewCardEvent, note
from app.database import transaction
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from models.aside import ROW_FAULTS, tell
from models.base import Raw
from models.card import Card
from models.card_event import CardEvent

_FAN_OUT: Final = "fan-out-spending-profiles"
_BATCH: Final = 200
PERIODIC: Final = {_FAN_OUT: 300.0}
WOKEN: Final = {_FAN_OUT: (Watched(CardEvent, "fanOutAfter"),)}
PLACES: Final[Mapping[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def fan_out(claim: Claim) -> None:
        """Write an event for each card of the spending profiles that were changed."""
        told, failed = 0, set[ObjectId]()
        while (event := await CardEvent.find_fan_out(failed)) is not None:
            try:
                told += await tell_batch(event)
            except ROW_FAULTS as error:
                tell(CardEvent, event.id, error)
                failed.add(ObjectId(event.id))
            await claim.renew(told=told)

    return {_FAN_OUT: fan_out}


async def tell_batch(event: CardEvent) -> int:
    """Write the events of the next cards, and how far that has come, in one transaction: once for
    each card.

    Returns:
        How many cards were told; 0 where none is left, or another worker was faster.
    """
    where = {
        "accountId": event.account_id,
        "spendingProfileId": event.subject,
        "_id": {"$gt": event.fan_out_after},
    }
    rows: list[Raw] = (
        await Card.raw().find(where, {"status": 1}).sort("_id", 1).limit(_BATCH).to_list()
    )
    told = [
        NewCardEvent(row["_id"], "card.updated", ("effectiveLimits",), row["status"])
        for row in rows
    ]
    last: ObjectId | None = rows[-1]["_id"] if len(rows) == _BATCH else None

    async def work(session: AsyncClientSession) -> int:
        if not await event.fan_out_to(last, session=session):
            return 0
        if told:
            await note(told, session)
        return len(told)

    return await transaction(work)
