"""What can go wrong: a class for each kind of problem that the server tells, and for what never
reaches it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final


class SatchelError(Exception):
    """The server refused.

    Attributes:
        status: HTTP status.
        code: what it says is wrong, from a list that only grows (`docs/errors.md` of the server).
        problem: the whole answer (RFC 9457).
        errors: for wrong input, `{"pointer", "code", "detail"}` of each field.
        retry_after: seconds after which another try may do, where the server said so.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code: str = str(problem.get("code", "unknown"))
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])
        self.retry_after = retry_after
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
        )

    @property
    def is_passing(self) -> bool:
        """Whether the same request may do later: the server is busy, or not well."""
        return self.status in (408, 429) or (self.status >= 500 and self.status != 507)


class Unauthenticated(SatchelError):
    """401: no credentials, or bad ones."""


class Forbidden(SatchelError):
    """403: the key or token may not do that."""


class NotFound(SatchelError):
    """404: there is no such thing, or the caller may not see it."""


class Conflict(SatchelError):
    """409: what is there is in the way."""


class MergeConflict(Conflict):
    """409 `merge_conflict`: guest and person both have something, and it was not said whose is
    kept. `conflicts` names what: `kind`, and `appId` and `dataKey`, `field` or `projectId`."""

    @property
    def conflicts(self) -> list[dict[str, Any]]:
        """What both have."""
        return list(self.problem.get("conflicts") or [])


class NoGuest(Exception):
    """There is no guest on this device whose data could be merged."""


class Gone(SatchelError):
    """410: it was there: a cursor that is too old, a user who was deleted."""


class PreconditionFailed(SatchelError):
    """412: somebody was faster. `current` is what is stored now."""

    @property
    def current(self) -> Any:
        """What is stored, with its version; None where there is nothing."""
        return self.problem.get("current")


class InvalidInput(SatchelError):
    """422: something is wrong with what was sent; `errors` names the fields."""


class QuotaExceeded(SatchelError):
    """507: the app's quota of this person is used up."""


class Busy(SatchelError):
    """429 or 503: try again, after `retry_after` seconds where it is said."""


class Unreachable(Exception):
    """The server cannot be reached, or its answer was lost."""


class SignedOut(Exception):
    """Nobody is signed in, or the session has ended."""


class Unstorable(ValueError):
    """A change that the server would refuse, found before anything was kept or sent.

    Attributes:
        code: what the server would have said: `invalid`, `too_large`, `quota_exceeded`.
        errors: `{"pointer", "code", "detail"}` of what is wrong, as `SatchelError.errors`.
    """

    def __init__(self, code: str, errors: Sequence[Mapping[str, str]]) -> None:
        self.code = code
        self.errors = [dict(error) for error in errors]
        places = (f"{error['pointer']} {error['detail']}".strip() for error in errors)
        super().__init__(f"{code}: {'; '.join(places)}")


class UnsentWork(Exception):
    """There is work that was not sent yet, and signing out would lose it."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(
            f"{count} changes were not sent yet: sign out when they were, or with"
            " discard_unsent=True"
        )


CODES: Final[Mapping[str, type[SatchelError]]] = {"merge_conflict": MergeConflict}
"""Kinds that are narrower than their status."""

KINDS: Final[Mapping[int, type[SatchelError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: PreconditionFailed,
    422: InvalidInput,
    429: Busy,
    503: Busy,
    507: QuotaExceeded,
}
