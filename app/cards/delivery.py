"""Delivering the outbox: at least once, in the order of each card's events, many cards at once.

A worker claims a card's queue by a fenced lease, sends its events one after the other, and notes
each in one transaction with the queue's step. A worker that dies leaves the lease to run out: the
event in hand is sent again.
"""

import asyncio
import random
import time
from datetime import timedelta
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.cards.webhooks import DeliveryFailed, Sender, sender
from app.database import transaction
from app.jobs.backoff import Backoff
from app.jobs.bell import Bell
from app.outside.places import Place
from app.settings import Settings
from app.web.observability import log
from app.web.observability.measures import CARD_EVENTS, CARD_FAILURES
from models.base import now
from models.card_event import CardEvent, EventState
from models.card_queue import LEASE, CardQueue

QUEUES: Final = "card-queues"
"""The name for which the bell is rung where events were added."""
_LOOK_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 3600.0
_NOTHING_THERE: Final = timedelta(minutes=10)


class LostQueue(Exception):
    """Another worker has the queue, or it is gone: stop, and write no more about it."""


async def deliver(settings: Settings, stop: asyncio.Event, bell: Bell | None = None) -> None:
    """Deliver events as they fall due until `stop` is set; those in hand are finished.

    Args:
        settings: of the sender.
        stop: ends it.
        bell: rung where events were added; without one it looks by itself.
    """
    bell = bell or Bell()
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: bell.wake())
    async with sender(settings) as each:
        while not stop.is_set():
            pause = settings.worker_poll_seconds * random.uniform(1, 1.2)
            try:
                await deliver_due(each, stop, bell)
                if bell.is_served:
                    pause = await _seconds_until_due(each)
            except Exception as error:  # whatever it is, the next queue may be sound
                log.error("no card event could be claimed", error=type(error).__name__)
            await bell.wait(pause)
    stopping.cancel()


async def _seconds_until_due(each: Sender) -> float:
    """How long nothing is to be delivered, as far as is known here."""
    due = await CardQueue.next_due()
    seconds = _LOOK_SECONDS if due is None else min((due - now()).total_seconds(), _LOOK_SECONDS)
    if seconds > 0:
        return seconds
    pausing = each.turns.pause_seconds()  # of the account whose queue is due
    return _AGAIN_SECONDS if pausing is None else pausing


async def deliver_due(
    each: Sender, stop: asyncio.Event | None = None, bell: Bell | None = None
) -> int:
    """Empty the queues that are due, several at once, until none is.

    Accounts take turns (`app.outside.places.Turns`), so that a slow webhook leaves places to the
    others.

    Returns:
        How many queues were taken.
    """
    running: dict[asyncio.Task[None], Place] = {}
    turns, bell = each.turns, bell or Bell()
    taken = 0
    try:
        while stop is None or not stop.is_set():
            queue = await CardQueue.claim(turns.busy()) if turns.is_free() else None
            if queue is not None:
                taken += 1
                place = turns.begin(queue.account_id)
                task = asyncio.create_task(_guarded(queue, each, place))
                task.add_done_callback(lambda _: bell.wake())
                running[task] = place
            elif running:
                await bell.wait(_AGAIN_SECONDS)
            else:
                break
            for task in [task for task in running if task.done()]:
                turns.leave(running.pop(task))
    finally:
        if running:
            await asyncio.wait(running)
        for place in running.values():
            turns.leave(place)
    return taken


async def _guarded(queue: CardQueue, each: Sender, place: Place) -> None:
    try:
        await empty(queue, each, place)
    except LostQueue:
        log.warning("card queue taken over", queue=str(queue.id))
    except Exception as error:  # the lease runs out, and the queue is tried again
        log.error("card queue failed", queue=str(queue.id), exc_info=error)


async def empty(queue: CardQueue, each: Sender, place: Place | None = None) -> None:
    """Send the events of a claimed queue in their order, until none waits or one fails.

    Args:
        queue: as it was claimed.
        each: sends them.
        place: which they are sent in.

    Raises:
        LostQueue: the lease was lost.
    """
    held_until = time.monotonic() + LEASE.total_seconds()
    while (event := await CardEvent.next_of(queue.id, queue.done + 1)) is not None:
        if time.monotonic() + each.settings.webhook_timeout_seconds > held_until:
            raise LostQueue  # nearly: another worker could send the same event beside us
        if place is not None:
            place.goes_on()
        state, error = await _tried(queue, event, each)
        if state is None:
            return
        held_until = time.monotonic() + LEASE.total_seconds()
        last = await _settle(queue, event, state, error)
        CARD_EVENTS.labels(state).inc()
        if last:
            return
    waits = queue.waiting > 0  # without an event: its account is going
    await queue.release(now() + (_NOTHING_THERE if waits else timedelta()))


async def _tried(
    queue: CardQueue, event: CardEvent, each: Sender
) -> tuple[EventState | None, str | None]:
    """Send an event: what became of it, and why it failed; None where it is to be tried again."""
    began = time.monotonic()
    try:
        state: EventState = "delivered" if await each.send(event) else "skipped"
    except DeliveryFailed as failure:
        CARD_FAILURES.labels(failure.reason).inc()
        each.turns.failed(queue.account_id, time.monotonic() - began)
        return await _failed(queue, event, str(failure), each.settings), str(failure)
    each.turns.went_well(queue.account_id)
    return state, None


async def _failed(
    queue: CardQueue, event: CardEvent, error: str, settings: Settings
) -> EventState | None:
    """Have an event tried again, or give it up."""
    if event.attempts + 1 < settings.webhook_max_attempts:
        await _retry_later(queue, event, error, settings)
        CARD_EVENTS.labels("retried").inc()
        return None
    log.error(
        "card event given up", event_id=str(event.id), account=str(event.account_id), error=error
    )
    return "dead"


async def _settle(queue: CardQueue, event: CardEvent, state: EventState, error: str | None) -> bool:
    """Note what became of an event, in one transaction with the queue's step; whether it was the
    last there can be."""
    last = event.type == "spending_profile.deleted"

    async def work(session: AsyncClientSession) -> None:
        held = await (queue.remove(session=session) if last else queue.step(session=session))
        if not held:
            raise LostQueue
        assert event.id is not None
        await CardEvent.settle(event.id, state, error, now(), session=session)

    await transaction(work)
    queue.done += 1
    queue.waiting -= 1
    return last


async def _retry_later(queue: CardQueue, event: CardEvent, error: str, settings: Settings) -> None:
    """Put the queue off, longer after each failure of the event.

    Raises:
        LostQueue: another worker has the queue; nothing is noted of an attempt that is not the
            queue's any more.
    """
    wait = Backoff(settings.webhook_retry_seconds, _LONGEST_WAIT).after(event.attempts + 1)

    async def work(session: AsyncClientSession) -> None:
        if not await queue.release(now() + wait, session=session):
            raise LostQueue
        assert event.id is not None
        await CardEvent.tried(event.id, error, session=session)

    await transaction(work)
