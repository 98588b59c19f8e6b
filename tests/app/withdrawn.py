"""Something happens at the last moment: after a request was let pass, and before its first
transaction begins."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app import database
from tests.harness import in_request


def at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[Any]]
) -> list[str]:
    """Have something happen once, just before the next transaction; the list has an entry once it
    has."""
    happened: list[str] = []
    attempt = database._attempt

    async def after_it(work: Any) -> Any:
        if not happened and in_request.get():
            happened.append("it has")
            token = in_request.set(False)
            await happens()
            in_request.reset(token)
        return await attempt(work)

    monkeypatch.setattr(database, "_attempt", after_it)
    return happened
