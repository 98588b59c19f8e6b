"""What the worker asks of the database for cards is served by indexes (guarantee 7)."""

from typing import Any

from pymongo import AsyncMongoClient

from app.cards.delivery import deliver_due
from app.cards.jobs import tell_batch
from app.database import bind, connect
from models.card_event import CardEvent
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Receiver
from tests.cast import Programme
from tests.explain import QueryRecorder, offences
from tests.harness import Api


async def test_every_query_of_delivery_and_fan_out_has_an_index(
    api: Api,
    listened: Programme,
    receiver: Receiver,
    make_sender: MakeSender,
    client: AsyncMongoClient[Any],
    mongodb_uri: str,
) -> None:
    await listened.manager.merge(listened.profile_path, {"limits": {"DAILY": 7}})
    recorder = QueryRecorder()
    answers = iter([500, 204])

    async def answer(_: Any) -> int:
        return next(answers, 204)

    receiver.answer = answer
    async with connect(api.settings, mongodb_uri, bounded=False, listeners=(recorder,)) as watched:
        database = await bind(watched, api.settings)
        event = await CardEvent.find_fan_out()
        assert event is not None
        assert await tell_batch(event) == 1
        await deliver_due(await make_sender())
        assert len(receiver.deliveries) == 3
        assert len(recorder.commands) > 5
        assert await offences(database, recorder) == []
    await bind(client, api.settings)
