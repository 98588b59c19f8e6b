"""Deliveries of a card's events."""

from models.card_event import CardEvent
from tests.cast import Programme


async def opened_and_paused(programme: Programme, path: str | None = None) -> None:
    for status in ("open", "paused", "open", "paused"):
        answer = await programme.manager.merge(path or programme.card_path, {"status": status})
        assert answer.status_code == 200


async def states() -> list[str]:
    return [row["state"] for row in await CardEvent.raw().find({}).sort("sequence", 1).to_list()]
