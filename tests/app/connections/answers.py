"""Whatever a provider may answer to any request."""

from collections.abc import Callable
from typing import Final

from tests.factories.banks import doubled, shuffled
from tests.outside.server import Asked, Told
from tests.outside.teller import MFA, REVOKED, error

Answer = Told | Callable[[Asked, Told], Told]


def emptied(asked: Asked, answer: Told) -> Told:
    """A page, or a list of accounts, without anything."""
    return Told(200, []) if isinstance(answer.json, list) else answer


class Repeating:
    """Tells the page before the last one again."""

    def __init__(self) -> None:
        self.last: Told | None = None

    def __call__(self, asked: Asked, answer: Told) -> Told:
        is_page = asked.path.endswith("/transactions")
        return self.last if is_page and self.last is not None else answer


REPEATING: Final = Repeating()
ANSWERS: Final[dict[str, Answer]] = {
    "mfa": MFA,
    "400": error(400, "bad_request"),
    "401": error(401, "unauthorized"),
    "403": REVOKED,
    "404": error(404, "not_found"),
    "410": error(410, "gone"),
    "422": error(422, "unprocessable"),
    "429": error(429, "too_many_requests", **{"Retry-After": "1"}),
    "500": error(500, "internal"),
    "502": error(502, "bad_gateway"),
    "html": Told(200, raw=b"<html>"),
    "object": Told(200, {"what": "is this"}),
    "redirect": Told(302, headers={"Location": "http://127.0.0.1/"}),
    "cut": lambda asked, answer: Told(answer.status, answer.json, cut=True),
    "silent": Told(200, [], raw=b"[    ]", hang=True),
    "empty": emptied,
    "repeated": REPEATING,
    "shuffled": shuffled,
    "doubled": doubled,
}
LIES: Final = frozenset({"400", "404", "410", "422", "empty", "repeated"})
"""Answers after which only a pass over everything is sure to find what is there."""
REQUESTS: Final = ("accounts", "balance", "page", "further", "one")
"""What a sync asks for, in this order; `further` is a page that follows another."""


def request_of(asked: Asked) -> str:
    """Which of `REQUESTS` it is."""
    last = asked.path.rpartition("/")[2]
    if last == "transactions":
        return "further" if "from_id" in asked.query else "page"
    return {"accounts": "accounts", "balances": "balance"}.get(last, "one")
