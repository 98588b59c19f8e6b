"""What admins see of the outbox: which events wait, were delivered, skipped, or given up."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from beanie import PydanticObjectId
from fastapi import Query
from pydantic import Field

from app.cards.examples import (
    EVENT_SHOWN,
    EVENT_WAITING,
    REDELIVERED,
    REDELIVERY,
    REDELIVERY_PLAN,
)
from app.cards.redelivery import (
    Redelivered,
    Redelivery,
    RedeliveryPlan,
    find_event,
    plan_redelivery,
    redeliver,
    redeliver_batch,
)
from app.identity.access import ADMIN
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.shown.documents import View
from app.web.idempotency import IdempotencyClaim, Repeated, at_most_once, write_once
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.aside import read_all
from models.base import Timestamp
from models.card_event import CardEvent, EventState, EventType
from models.card_queue import CardQueue

router = Router(tags=["Operation"])


class CardEventView(View):
    """An event of a card or a spending profile."""

    account_id: PydanticObjectId
    subject: Annotated[PydanticObjectId, Field(description="The card, or the spending profile.")]
    sequence: Annotated[int, Field(description="Its place in the order of the subject's events.")]
    type: EventType
    changed: list[str]
    status: str | None = None
    affected_cards: int | None = None
    state: EventState
    attempts: int
    last_error: str | None = None
    next_attempt_at: Annotated[
        Timestamp | None,
        Field(
            description=(
                "While it waits: when it is tried next, at the earliest. Events of one card come in"
                " order."
            )
        ),
    ] = None
    expires_at: Timestamp | None = None


async def _views(events: Sequence[CardEvent]) -> list[CardEventView]:
    """Events as they are sent, with when those that wait are tried next: one query for all."""
    waiting = {event.subject for event in events if event.state == "waiting"}
    queues = await CardQueue.fetch(waiting, fields=["dueAt"])
    return [
        CardEventView.model_validate(event).model_copy(
            update={
                "next_attempt_at": (
                    queues.get(event.subject, {}).get("dueAt") if event.state == "waiting" else None
                )
            }
        )
        for event in events
    ]


@router.get(
    "/v1/admin/card-events",
    access=ADMIN,
    operation_id="listCardEvents",
    summary="Events of cards, by state",
    responses=problems() | page_of(EVENT_SHOWN),
)
async def list_events(
    caller: Caller,
    state: Annotated[
        EventState, Query(description="`dead`: given up after too many attempts.")
    ] = "dead",
    account: Annotated[
        PydanticObjectId | None, Query(alias="accountId", description="Of this account only.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CardEventView]:
    """The newest first. What is dealt with is kept for 30 days."""
    authorize(caller, "admin")
    where = {**({"accountId": account} if account else {}), "state": state}
    rows, following = await newest(CardEvent, where, limit, cursor)
    return Page(items=await _views(read_all(CardEvent, rows)), next_cursor=following)


@router.get(
    "/v1/admin/card-events/redelivery-plan",
    access=ADMIN,
    operation_id="planCardEventRedelivery",
    summary="Count the events that a redelivery would take",
    responses=problems() | answers(REDELIVERY_PLAN),
)
async def plan(
    caller: Caller,
    account: Annotated[
        PydanticObjectId | None, Query(alias="accountId", description="Of this account only.")
    ] = None,
    start: Annotated[
        Timestamp | None, Query(alias="from", description="Given up then or later.")
    ] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Given up before.")] = None,
) -> RedeliveryPlan:
    """Changes nothing. `next` is the body that redelivers what was counted."""
    authorize(caller, "admin")
    return await plan_redelivery(Redelivery(account_id=account, start=start, end=end))


@router.post(
    "/v1/admin/card-events/redeliver",
    access=ADMIN,
    operation_id="redeliverCardEvents",
    summary="Deliver many events again that were given up",
    responses=problems(409) | answers(REDELIVERED),
)
async def redeliver_events(
    asked: Annotated[Redelivery, REDELIVERY], caller: Caller, claim: IdempotencyClaim
) -> Redelivered:
    """At most 200 by one call: send `next` until it is null.

    Each is put back as a single one is, those of a card in their order. What is given up again
    meanwhile is left alone.
    """
    authorize(caller, "admin")

    async def again(done: Repeated) -> Redelivered:
        return Redelivered.model_validate_json(str(done.resource_id))

    return await at_most_once(claim, partial(redeliver_batch, asked, claim), again)


@router.post(
    "/v1/admin/card-events/{eventId}/redeliver",
    access=ADMIN,
    operation_id="redeliverCardEvent",
    summary="Deliver an event again that was given up",
    responses=problems(409) | answers(EVENT_WAITING),
)
async def redeliver_event(
    eventId: PydanticObjectId, caller: Caller, claim: IdempotencyClaim
) -> CardEventView:
    """It waits at the end of its card's events, and is tried as often as a new one. Only what is
    `dead` can be."""
    authorize(caller, "admin")
    event = await write_once(claim, partial(redeliver, eventId), lambda _: find_event(eventId))
    return (await _views([event]))[0]
