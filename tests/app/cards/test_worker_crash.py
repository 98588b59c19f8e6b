"""A worker that is killed while it delivers loses nothing."""

import asyncio
import os
import sys
from pathlib import Path

from bson import ObjectId

from models.base import now
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.receiver import Delivery, Receiver
from tests.cast import Programme
from tests.harness import Api

ROOT = Path(__file__).parents[3]


async def start_worker(api: Api) -> asyncio.subprocess.Process:
    settings = api.settings
    assert settings.mongodb_uri is not None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")},
        "SATCHEL_MONGODB_URI": settings.mongodb_uri.get_secret_value(),
        "SATCHEL_DATABASE": settings.database,
        "SATCHEL_DATA_DIR": str(settings.data_dir),
        "SATCHEL_WORKER_POLL_SECONDS": "0.05",
        "SATCHEL_LOG_LEVEL": "error",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts", "worker", env=environment, cwd=ROOT
    )


async def test_a_worker_killed_after_the_delivery_has_it_delivered_again(
    api: Api, listened: Programme, receiver: Receiver
) -> None:
    came, never, all_came = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(delivery: Delivery) -> int:
        if not came.is_set():
            came.set()
            await never.wait()  # it has the event, and the worker will not live to hear of it
        if delivery.place[1] == 2:
            all_came.set()
        return 204

    receiver.answer = answer
    for status in ("open", "paused"):
        await listened.manager.merge(listened.card_path, {"status": status})
    first = await start_worker(api)
    async with asyncio.timeout(60):
        await came.wait()
    first.kill()
    await first.wait()
    never.set()
    row = await CardEvent.raw().find_one({"subject": ObjectId(listened.card), "sequence": 1})
    assert row is not None
    assert row["state"] == "waiting"
    await CardQueue.raw().update_one(
        {"_id": ObjectId(listened.card)}, {"$set": {"dueAt": now()}}
    )  # half a minute later

    second = await start_worker(api)
    async with asyncio.timeout(60):
        await all_came.wait()
    second.terminate()
    assert await second.wait() == 0
    assert [delivery.place[1] for delivery in receiver.deliveries] == [1, 1, 2]
    assert len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}) == 2
    assert {event["state"] for event in await CardEvent.raw().find({}).to_list()} == {"delivered"}
