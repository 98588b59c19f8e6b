"""Credentials are judged before a body is: nobody's body is neither read nor parsed."""

from collections.abc import AsyncIterator

import pytest

from app.identity.authenticator import Authenticator
from tests.cast import Cast
from tests.factories.operations import RULES, WRITE_KEYS, request_of
from tests.harness import Api

WITH_BODY = sorted(
    route for route, rule in RULES.items() if rule.body is not None and route not in WRITE_KEYS
)
"""Segment's clients may send their write key in the body, which is read for that (at most 1
MiB)."""


@pytest.mark.parametrize("route", WITH_BODY)
async def test_nobodys_body_is_not_read(cast: Cast, route: str) -> None:
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            read.append(b"{")
            yield b"{"

    method, path, options = request_of(route, cast.owner.id)
    headers = options["headers"] | {
        "Content-Type": options["headers"].get("Content-Type", "application/json")
    }
    answer = await cast.nobody.request(method, path, content=body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert read == []


@pytest.mark.parametrize("route", WITH_BODY)
async def test_several_credentials_are_none(cast: Cast, api: Api, route: str) -> None:
    method, path, options = request_of(route, cast.owner.id)
    lines = [("Authorization", f"Bearer {cast.admin.credential}")] * 2 + list(
        options.pop("headers").items()
    )
    answer = await api.client.request(method, path, headers=lines, **options)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_request_is_authenticated_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    authenticate = Authenticator.authenticate

    async def counted(self: Authenticator, authorization: str | None) -> object:
        asked.append(authorization)
        return await authenticate(self, authorization)

    monkeypatch.setattr(Authenticator, "authenticate", counted)
    assert (
        await cast.admin.post("/v1/users", json={}, headers={"Idempotency-Key": "k"})
    ).status_code == 201
    assert len(asked) == 1
