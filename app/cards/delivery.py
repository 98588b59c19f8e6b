"""Delivering the outbox: at least once, in the order of each card's events, many cards at once.

A worker claims a card's queue by a fenced lease, sends its events one after the other, and notes each in one
transaction with the queue's step. A worker that dies leaves the lease to run out: the event in hand is sent again.
"""

import asyncio
import random
import time
from collections import Counter
from datetime import timedelta
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.cards.webhooks import DeliveryFailed, Sender, sender
from app.database import transaction
from app.observability import CARD_EVENTS, log
from app.settings import Settings
from models.base import now
from models.card_event import CardEvent, EventState
from models.card_queue import LEASE, CardQueue

_LONGEST_WAIT: Final = timedelta(hours=1)
_NOTHING_THERE: Final = timedelta(minutes=10)


class LostQueue(Exception):
    """Another worker has the queue, or it is gone: stop, and write no more about it."""


async def deliver(settings: Settings, stop: asyncio.Event) -> None:
    """Deliver events as they fall due until `stop` is set; those in hand are finished."""
    async with sender(settings) as each:
        while not stop.is_set():
            try:
                await deliver_due(each, stop)
            except Exception as error:  # whatever it is, the next queue may be sound
                log.error("no card event could be claimed", error=type(error).__name__)
            try:
                async with asyncio.timeout(settings.worker_poll_seconds * random.uniform(1, 1.2)):
                    await stop.wait()
            except TimeoutError:
                continue


async def deliver_due(each: Sender, stop: asyncio.Event | None = None) -> int:
    """Empty the queues that are due, several at once, until none is.

    One account has at most half of the places, so that a slow webhook leaves some to the others.

    Returns:
        How many queues were taken.
    """
    running: dict[asyncio.Task[None], ObjectId] = {}
    most = each.settings.webhook_concurrency
    taken = 0
    try:
        while stop is None or not stop.is_set():
            of_account = Counter(running.values())
            busy = [account for account, count in of_account.items() if count >= max(1, most // 2)]
            queue = await CardQueue.claim(busy) if len(running) < most else None
            if queue is not None:
                taken += 1
                running[asyncio.create_task(_guarded(queue, each))] = queue.account_id
            elif running:
                wait = each.settings.worker_poll_seconds
                over, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=wait)
                for task in over:
                    del running[task]
            else:
                break
    finally:
        if running:
            await asyncio.wait(running)
    return taken


async def _guarded(queue: CardQueue, each: Sender) -> None:
    try:
        await empty(queue, each)
    except LostQueue:
        log.warning("card queue taken over", queue=str(queue.id))
    except Exception as error:  # the lease runs out, and the queue is tried again
        log.error("card queue failed", queue=str(queue.id), exc_info=error)


async def empty(queue: CardQueue, each: Sender) -> None:
    """Send the events of a claimed queue in their order, until none waits or one fails.

    Raises:
        LostQueue: the lease was lost.
    """
    held_until = time.monotonic() + LEASE.total_seconds()
    while (event := await CardEvent.next_of(queue.id, queue.done + 1)) is not None:
        if time.monotonic() + each.settings.webhook_timeout_seconds > held_until:
            raise LostQueue  # nearly: another worker could send the same event beside us
        try:
            state: EventState = "delivered" if await each.send(event) else "skipped"
            error = None
        except DeliveryFailed as failure:
            error = str(failure)
            if event.attempts + 1 < each.settings.webhook_max_attempts:
                await _retry_later(queue, event, error, each.settings)
                CARD_EVENTS.labels("retried").inc()
                return
            state = "dead"
            log.error("card event given up", event_id=str(event.id), account=str(event.account_id), error=error)
        held_until = time.monotonic() + LEASE.total_seconds()
        last = await _settle(queue, event, state, error)
        CARD_EVENTS.labels(state).inc()
        if last:
            return
    waits = queue.waiting > 0  # without an event: its account is going
    await queue.release(now() + (_NOTHING_THERE if waits else timedelta()))


async def _settle(queue: CardQueue, event: CardEvent, state: EventState, error: str | None) -> bool:
    """Note what became of an event, in one transaction with the queue's step; whether it was the last there can be."""
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
    """Exponential backoff with jitter, so that many cards of one webhook do not come back together.

    Raises:
        LostQueue: another worker has the queue; nothing is noted of an attempt that is not the queue's any more.
    """
    wait = min(timedelta(seconds=settings.webhook_retry_seconds * 2 ** min(event.attempts, 20)), _LONGEST_WAIT)

    async def work(session: AsyncClientSession) -> None:
        if not await queue.release(now() + wait * random.uniform(0.5, 1.5), session=session):
            raise LostQueue
        assert event.id is not None
        await CardEvent.tried(event.id, error, session=session)

    await transaction(work)
