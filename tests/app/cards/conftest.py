"""A card programme for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.cards.webhooks import Sender, sender
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.receiver import Receiver, receiving
from tests.cast import Programme
from tests.harness import Api


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A local server in the place of an account's webhook."""
    async with receiving() as found:
        yield found


@pytest.fixture
async def listened(programme: Programme, receiver: Receiver) -> Programme:
    """The programme, its account with the receiver as webhook, and what happened before
    forgotten."""
    answer = await programme.manager.merge(programme.path, {"webhookUrl": f"{receiver.url}/hooks"})
    assert answer.status_code == 200
    await CardEvent.raw().delete_many({})
    await CardQueue.raw().update_many({}, {"$set": {"last": 0, "done": 0, "waiting": 0}})
    return programme


MakeSender = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def make_sender(api: Api) -> AsyncIterator[MakeSender]:
    """Makes a sender as a worker has it, with settings of its own; failures are tried again at
    once."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Sender:
            settings = api.settings.model_copy(update={"webhook_retry_seconds": 0.0, **changes})
            return await stack.enter_async_context(sender(settings))

        yield make
