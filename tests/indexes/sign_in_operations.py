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
    "PhoneOtp.count_attempt": [lambda: PhoneOtp.count_attempt("x", 5)],
    "PhoneOtp.consume": [lambda: consumed(None), lambda: consumed("shared")],
    "PhoneOtp.was_used": [lambda: PhoneOtp.was_used("shared")],
    "PhoneOtp.remove": [
        lambda: PhoneOtp(id="x", purpose="sign_in", code_hash="h", expires_at=NOW).remove()
    ],
    "PhoneOtp.remove_expired": [lambda: PhoneOtp.remove_expired(AGO)],
    "Budget.spend": [lambda: Budget.spend("x", NOW)],
    "Budget.take": [lambda: Budget.take("y", 5, 5, NOW), lambda: Budget.take("y", 5, 5, NOW)],
    "Budget.give_back": [lambda: Budget.give_back("x", 1)],
    "Budget.pay_back": [lambda: Budget.pay_back("z", timedelta(days=1), NOW)],
    "Budget.pace": [
        lambda: Budget.pace("z", timedelta(days=1)),
        lambda: Budget.pace("z", timedelta(days=1)),
    ],
    "Budget.let_go": [lambda: Budget.let_go("x")],
    "Budget.is_there": [lambda: Budget.is_there("x")],
}
