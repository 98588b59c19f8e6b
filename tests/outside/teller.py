"""Teller's API as published (https://teller.io/docs/api), with banks that the test makes up."""

import hmac
import time
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from tests.outside.server import Asked, OutsideServer, Told, segments


@dataclass
class Login:
    """An enrollment: its accounts by id, their transactions newest first, and the error it answers
    with, if any."""

    enrollment: str
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledgers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    error: Told | None = None
    deleted: bool = False

    def add_account(self, name: str, **fields: Any) -> str:
        account_id = f"acc_{self.enrollment}_{len(self.accounts)}"
        self.accounts[account_id] = {
            "id": account_id,
            "enrollment_id": self.enrollment,
            "name": name,
            "type": "depository",
            "subtype": "checking",
            "currency": "USD",
            "last_four": "1234",
            "status": "open",
            "institution": {"id": "security_cu", "name": "Security Credit Union"},
            "links": {},
            **fields,
        }
        self.ledgers[account_id] = []
        return account_id

    def add(self, account_id: str, transaction_id: str, **fields: Any) -> dict[str, Any]:
        told = {
            "id": transaction_id,
            "account_id": account_id,
            "amount": "-12.34",
            "date": "2026-11-01",
            "description": f"bought {transaction_id}",
            "status": "posted",
            "running_balance": None,
            "type": "card_payment",
            "details": {"processing_status": "complete", "category": "general", "counterparty": {}},
            "links": {},
            **fields,
        }
        self.ledgers[account_id].append(told)
        self.ledgers[account_id].sort(key=lambda each: (each["date"], each["id"]), reverse=True)
        return told

    def renew(self, tag: str, *, same_rows: bool = False, **fields: Any) -> "Login":
        """The login as it is told after a new enrollment: other ids, which begin with the tag, else
        the same."""
        new = Login(f"{tag}{self.enrollment}")
        for account_id, account in self.accounts.items():
            told = {"id": f"{tag}{account_id}", "enrollment_id": new.enrollment, **fields}
            new.accounts[told["id"]] = account | told
            new.ledgers[told["id"]] = [
                {
                    **row,
                    "id": row["id"] if same_rows else f"{tag}{row['id']}",
                    "account_id": told["id"],
                }
                for row in self.ledgers[account_id]
            ]
        return new

    def find(self, account_id: str, transaction_id: str) -> dict[str, Any]:
        return next(each for each in self.ledgers[account_id] if each["id"] == transaction_id)

    def remove(self, account_id: str, transaction_id: str) -> None:
        self.ledgers[account_id].remove(self.find(account_id, transaction_id))


def error(status: int, code: str, message: str = "no", **headers: str) -> Told:
    """Teller's error object."""
    return Told(status, {"error": {"code": code, "message": message}}, headers)


MFA = error(404, "enrollment.disconnected.user_action.mfa_required", "User MFA is required.")
REVOKED = error(403, "forbidden", "invalid or revoked access token")


class TellerBanks:
    """Every login by its token. `page` is the most that is told at once, whatever `count` asks
    for."""

    def __init__(self) -> None:
        self.logins: dict[str, Login] = {}
        self.page = 200
        self.server = OutsideServer(self.serve)

    def login(self, token: str) -> Login:
        return self.logins.setdefault(token, Login(f"enr_{len(self.logins)}"))

    def serve(self, asked: Asked) -> Told:
        login = self._authenticated(asked)
        if isinstance(login, Told):
            return login
        parts = segments(asked.path)
        if parts == ["accounts"]:
            return self._accounts(login, asked)
        if len(parts) < 3 or parts[0] != "accounts" or parts[1] not in login.accounts:
            return error(404, "not_found")
        if parts[2:] == ["balances"]:
            return Told(
                200, {"account_id": parts[1], "ledger": "100.50", "available": "90.00", "links": {}}
            )
        if parts[2:] == ["transactions"]:
            return self._transactions(login.ledgers[parts[1]], asked)
        found = [each for each in login.ledgers[parts[1]] if each["id"] == parts[3]]
        return Told(200, found[0]) if found else error(404, "not_found")

    def _authenticated(self, asked: Asked) -> Login | Told:
        scheme, _, encoded = asked.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return error(401, "unauthorized")
        token, _, password = b64decode(encoded).decode().partition(":")
        login = self.logins.get(token)
        if login is None or login.deleted or password:
            return REVOKED
        return login.error or login

    def _accounts(self, login: Login, asked: Asked) -> Told:
        if asked.method == "DELETE":
            login.deleted = True
            return Told(204)
        return Told(200, list(login.accounts.values()))

    def _transactions(self, ledger: list[dict[str, Any]], asked: Asked) -> Told:
        rows = [each for each in ledger if each["date"] >= asked.query.get("start_date", "")]
        if (after := asked.query.get("from_id")) is not None:
            places = [number for number, each in enumerate(rows) if each["id"] == after]
            if not places:
                return error(404, "not_found")
            rows = rows[places[0] + 1 :]
        return Told(200, rows[: min(int(asked.query.get("count", 1_000_000)), self.page)])


def signed(event: Any, *secrets: str, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """The body of a webhook and its headers, signed with each of the secrets."""
    body, moment = orjson.dumps(event), str(int(time.time() if at is None else at))
    made = [
        hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
        for secret in secrets
    ]
    header = ",".join([f"t={moment}", *(f"v1={each}" for each in made)])
    return body, {"Teller-Signature": header, "Content-Type": "application/json"}
