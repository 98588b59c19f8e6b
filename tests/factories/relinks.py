"""Logins of before."""

from typing import Any

from beanie import PydanticObjectId

from models.bank_account import BankAccount


def before(**fields: Any) -> BankAccount:
    told: dict[str, Any] = {
        "name": "Checking",
        "type": "checking",
        "currency": "USD",
        "last_four": "1234",
    }
    ids = {name: PydanticObjectId() for name in ("id", "user_id", "connection_id")}
    return BankAccount(**{**ids, **told, "provider_id": "old", "institution": "bank", **fields})
