"""Cards as they are made."""

from typing import Any

from tests.cast import Programme


def cards(programme: Programme) -> str:
    return f"{programme.path}/cards"


async def a_card(programme: Programme, **fields: Any) -> str:
    body = {"userId": programme.holder.id, "lastFour": "1881", **fields}
    made = await programme.manager.post(cards(programme), json=body)
    assert made.status_code == 201, made.text
    return f"{cards(programme)}/{made.json()['id']}"
