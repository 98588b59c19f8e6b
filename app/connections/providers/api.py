"""What a provider of bank data is asked for, and how it may refuse; Teller's API and the sandbox
are such providers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol

from iso4217 import Currency

from app.outside.client import TryLater
from models.bank_account import AccountStatus
from models.transaction import TransactionContent

_REASON: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
NO_ID: Final = "no_id"
_MINOR_DIGITS: Final = {each.code: each.exponent for each in Currency if each.exponent is not None}
_OF_OTHERS: Final = (
    2  # metals, test codes, and what is not, or no more, in ISO 4217: nothing is rounded by it
)


class LoginNeeded(Exception):
    """The person has to sign in at the bank again: another password, a code, terms to accept."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason if _REASON.fullmatch(reason) else "login_required"


class Revoked(Exception):
    """The token is not valid and will not be again."""

    reason = "revoked"


class AccountClosed(Exception):
    """The provider gives no more access to this account."""


class PageLost(Exception):
    """The transaction to go on after is not there any more: read the account from its newest
    again."""


class UnreadableAmount(TryLater):
    """An amount that is no number, or has more digits than its currency."""

    def __init__(self) -> None:
        super().__init__("malformed_answer")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A transaction that cannot be read, by its id; `reason` is `amount` or `malformed`.

    Where it has no id (`no_id`), it goes by a digest of itself.
    """

    provider_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ToldAccount:
    """An account as the provider tells it; `enrollment_id` is its id of the login, `institution`
    that of the bank."""

    id: str
    name: str
    type: str
    currency: str
    last_four: str | None
    status: AccountStatus
    enrollment_id: str | None
    institution: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadableAccount:
    """An account that cannot be read, by its id, or by a digest of itself where it has none."""

    id: str
    is_identified: bool
    enrollment_id: str | None


def is_identified(told: TransactionContent | Unreadable) -> bool:
    """Whether a transaction's `provider_id` is the provider's."""
    return not isinstance(told, Unreadable) or told.reason != NO_ID


class BankProvider(Protocol):
    """Access to one login. Every call raises LoginNeeded, Revoked or TryLater where it cannot be
    done."""

    async def accounts(self) -> Sequence[ToldAccount | UnreadableAccount]:
        """Every account; also the probe that says whether the token works."""
        ...

    async def balance(self, account: ToldAccount) -> int | None:
        """What is on an account, in minor units; None where the bank does not tell. Raises
        UnreadableAmount."""
        ...

    async def transactions(
        self, account_id: str, currency: str, *, after: str | None, since: str | None
    ) -> Sequence[TransactionContent | Unreadable]:
        """A page of an account's transactions, newest first; an empty one is the end.

        Args:
            account_id: the provider's id.
            currency: of the account.
            after: id of the last transaction of the page before.
            since: date; older ones are left out.

        Raises:
            AccountClosed: there is no access to this account any more.
            PageLost: `after` is not there any more.
        """
        ...

    async def transaction(
        self, account_id: str, currency: str, transaction_id: str
    ) -> TransactionContent | Unreadable | None:
        """One transaction; None where the provider does not have it (any more)."""
        ...

    async def disconnect(self) -> None:
        """Give the access up. No error where it was given up before."""
        ...


def is_date(text: str) -> bool:
    """Whether a text is a date of the calendar, `2026-11-21`."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def minor_units(amount: Any, currency: str) -> int:
    """A decimal number in minor units: `"86.46"` US dollars are 8646.

    Raises:
        UnreadableAmount: it is no number, or has more digits than the currency.
    """
    try:
        scaled = Decimal(amount).scaleb(_MINOR_DIGITS.get(currency, _OF_OTHERS))
        if (
            not isinstance(amount, str)
            or scaled != scaled.to_integral_value()
            or abs(scaled) >= 2**63
        ):
            raise UnreadableAmount
        return int(scaled)
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        raise UnreadableAmount from None
