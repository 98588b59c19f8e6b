"""Teller's API (https://teller.io/docs/api): accounts, balances, transactions; mutual TLS, token as
user name."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import orjson
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from app.connections.providers.api import (
    NO_ID,
    AccountClosed,
    LoginNeeded,
    PageLost,
    Revoked,
    ToldAccount,
    Unreadable,
    UnreadableAccount,
    UnreadableAmount,
    is_date,
    is_identified,
    minor_units,
)
from app.outside.client import Answer, Outgoing, TryLater, outgoing
from app.settings import Settings
from app.web.observability import log
from models.transaction import TransactionContent

PAGE: Final = 200
_DISCONNECTED: Final = "enrollment.disconnected"
Id = Annotated[str, Field(min_length=1, max_length=256)]


class _Account(BaseModel):
    """What is taken of Teller's account."""

    id: Id
    enrollment_id: Id | None = None
    name: Annotated[str, Field(max_length=1024)]
    type: Annotated[str, Field(max_length=64)]
    subtype: Annotated[str, Field(max_length=64)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    last_four: Annotated[str, Field(max_length=16)] | None = None
    status: Literal["open", "closed"] = "open"
    institution: Any = None


class _Balances(BaseModel):
    """What is taken of Teller's balances."""

    ledger: str | None = None
    available: str | None = None


def _calendar_date(text: str) -> str:
    if not is_date(text):
        raise ValueError("not a date")
    return text


class _Transaction(BaseModel):
    """What is taken of Teller's transaction."""

    id: Id
    amount: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_calendar_date)]
    description: Annotated[str | None, Field(max_length=4096)] = None
    status: Literal["pending", "posted"]


_ACCOUNT: Final = TypeAdapter(_Account)
_BALANCES: Final = TypeAdapter(_Balances)
_TRANSACTION: Final = TypeAdapter(_Transaction)
_ROWS: Final = TypeAdapter(list[Any])
_ID: Final = TypeAdapter(Id)


class Teller:
    """One login by its access token."""

    def __init__(self, http: Outgoing) -> None:
        self._http = http

    async def accounts(self) -> list[ToldAccount | UnreadableAccount]:
        """`GET /accounts`."""
        answer = await self._http.send("GET", "/accounts")
        if not answer.is_success:
            raise _refusal(answer)
        return [_account(row) for row in _checked(_ROWS, answer)]

    async def balance(self, account: ToldAccount) -> int | None:
        """`GET /accounts/{id}/balances`; the ledger balance, else the available one."""
        answer = await self._http.send("GET", f"/accounts/{_part(account.id)}/balances")
        if answer.status in (404, 410) and not _error_code(answer).startswith(_DISCONNECTED):
            return None
        if not answer.is_success:
            raise _refusal(answer)
        try:
            told = _BALANCES.validate_python(_json(answer))
        except ValidationError:
            raise UnreadableAmount from None
        amount = told.ledger if told.ledger is not None else told.available
        return None if amount is None else minor_units(amount, account.currency)

    async def transactions(
        self, account_id: str, currency: str, *, after: str | None, since: str | None
    ) -> list[TransactionContent | Unreadable]:
        """`GET /accounts/{id}/transactions` with `count`, `from_id` and `start_date`."""
        told = {"from_id": after, "start_date": since}
        query = {"count": str(PAGE)} | {
            name: value for name, value in told.items() if value is not None
        }
        path = f"/accounts/{_part(account_id)}/transactions"
        answer = await self._http.send("GET", path, query=query)
        if answer.is_success:
            return [_content(row, currency) for row in _checked(_ROWS, answer)]
        if _error_code(answer).startswith(_DISCONNECTED):
            raise _refusal(answer)
        if after is not None and answer.status in (400, 404, 410, 422):
            raise PageLost
        if answer.status in (404, 410):
            raise AccountClosed
        raise _refusal(answer)

    async def transaction(
        self, account_id: str, currency: str, transaction_id: str
    ) -> TransactionContent | Unreadable | None:
        """`GET /accounts/{id}/transactions/{id}`."""
        path = f"/accounts/{_part(account_id)}/transactions/{_part(transaction_id)}"
        answer = await self._http.send("GET", path)
        if answer.is_success:
            told = _content(_json(answer), currency)
            return told if is_identified(told) else Unreadable(transaction_id, "malformed")
        if answer.status in (404, 410) and not _error_code(answer).startswith(_DISCONNECTED):
            return None
        raise _refusal(answer)

    async def disconnect(self) -> None:
        """`DELETE /accounts`: Teller gives up its access to all accounts of the login."""
        answer = await self._http.send("DELETE", "/accounts")
        gone = answer.status in (401, 403, 404, 410) and not _error_code(answer).startswith(
            _DISCONNECTED
        )
        if not answer.is_success and not gone:
            raise TryLater(f"refused_{answer.status}")


@asynccontextmanager
async def teller(settings: Settings, token: str) -> AsyncIterator[Teller]:
    """Access to one login at Teller, while the block lasts."""
    files = (settings.teller_certificate_file, settings.teller_key_file)
    async with outgoing(settings, settings.teller_url, auth=(token, ""), certificate=files) as http:
        yield Teller(http)


def _refusal(answer: Answer) -> Exception:
    """What an answer of Teller that is no success means (https://teller.io/docs/api/errors)."""
    code = _error_code(answer)
    if code.startswith(_DISCONNECTED):
        return LoginNeeded(
            code.removeprefix(_DISCONNECTED).lstrip(".").replace("user_action.", "")
            or "disconnected"
        )
    if answer.status == 401:
        return LoginNeeded("unauthorized")
    if answer.status == 403:
        return Revoked()
    if answer.status == 400 and "certificate" in answer.body[:1024].decode("utf-8", "replace"):
        log.error("Teller asks for a client certificate: SATCHEL_TELLER_CERTIFICATE_FILE")
        return TryLater("certificate_missing")
    return TryLater(f"refused_{answer.status}")


def _error_code(answer: Answer) -> str:
    try:
        told: Any = answer.json()
        return str(told["error"]["code"])
    except (TryLater, TypeError, KeyError):
        return ""


def _json(answer: Answer) -> Any:
    """What a body spells; halves of characters, as texts have that were cut in UTF-16, are question
    marks."""
    try:
        return answer.json()
    except TryLater:
        try:
            return orjson.loads(
                json.dumps(json.loads(answer.body), ensure_ascii=False).encode("utf-8", "replace")
            )
        except (ValueError, RecursionError):
            raise TryLater("malformed_answer") from None


def _checked(adapter: TypeAdapter[Any], answer: Answer) -> Any:
    try:
        return adapter.validate_python(_json(answer))
    except ValidationError:
        raise TryLater("malformed_answer") from None


def _id_of(row: Any, name: str = "id") -> str | None:
    """The id that a row has; without it nothing is known of it, nor where to go on."""
    try:
        return str(_ID.validate_python(row.get(name)))
    except (AttributeError, ValidationError):
        return None


def _digest(row: Any) -> str:
    return "no-id-" + sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


def _account(row: Any) -> ToldAccount | UnreadableAccount:
    try:
        told = _ACCOUNT.validate_python(row)
    except ValidationError:
        name = _id_of(row)
        return UnreadableAccount(
            name or _digest(row), name is not None, _id_of(row, "enrollment_id")
        )
    return ToldAccount(
        told.id,
        told.name,
        told.subtype or told.type,
        told.currency,
        told.last_four,
        told.status,
        told.enrollment_id,
        _id_of(told.institution),
    )


def _content(row: Any, currency: str) -> TransactionContent | Unreadable:
    provider_id = _id_of(row)
    if provider_id is None:
        return Unreadable(_digest(row), NO_ID)
    try:
        told = _TRANSACTION.validate_python(row)
        amount = minor_units(told.amount, currency)
    except UnreadableAmount:
        return Unreadable(provider_id, "amount")
    except ValidationError:
        return Unreadable(provider_id, "malformed")
    return TransactionContent(
        provider_id=told.id,
        amount=amount,
        date=told.date,
        description=told.description or "",
        status=told.status,
    )


def _part(identifier: str) -> str:
    return quote(identifier, safe="")
