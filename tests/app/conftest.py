"""What tests of rights that are taken away meanwhile have in common."""

from typing import Any

import pytest

from app.repositories import connect
from models import PhoneOtp
from models.base import now


@pytest.fixture
def no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Git hosts nor codes are asked: it is about what comes after."""

    async def found(_: Any, repository: Any, *__: Any) -> connect._Place:
        return connect._Place(repository, None)

    async def same(connection: Any, *_: Any) -> Any:
        return connection

    async def challenge(*_: Any) -> PhoneOtp:
        fields = {
            "recipient": "new@example.com",
            "purpose": "link",
            "codeHash": "x",
            "expiresAt": now(),
        }
        return PhoneOtp.model_construct(**fields, id="x", phone_number="+14155550124")

    monkeypatch.setattr("app.repositories.connect._probe", found)
    monkeypatch.setattr("app.repositories.connect.register", same)
    monkeypatch.setattr("app.auth.identity_routes._checked", challenge)
