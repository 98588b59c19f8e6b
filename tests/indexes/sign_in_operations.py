"""The operations of one-time codes and their budgets, each with the queries that it sends."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from models import Budget, PhoneOtp
from tests.filled import NOW

AGO: Final = NOW - timedelta(days=20)


async def consumed(shared: str | None) -> bool:
    """A challenge that is there is consumed."""
    challenge = PhoneOtp(id="c", purpose="sign_in", shared=shared, code_hash="h", expires_at=NOW)
    await challenge.add()
    return await challenge.consume()


SIGN_IN_OPERATIONS: Final[dict[str, list[Callable[[], Awaitable[Any]]]]] = {
    "PhoneOtp.consume": [lambda: consumed(None), lambda: consumed("shared")],
    "PhoneOtp.remove": [
        lambda: PhoneOtp(id="x", purpose="sign_in", code_hash="h", expires_at=NOW).remove()
    ],
    "Budget.take": [lambda: Budget.take("y", 5, 5, NOW), lambda: Budget.take("y", 5, 5, NOW)],
    "Budget.pace": [
        lambda: Budget.pace("z", timedelta(days=1)),
        lambda: Budget.pace("z", timedelta(days=1)),
    ],
}
