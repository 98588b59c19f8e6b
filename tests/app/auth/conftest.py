"""Sign-in with an issuer and a mailbox of its own, and people who sign in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from models.budget import Budget
from tests.conftest import MakeApi
from tests.harness import Api, Caller
from tests.outside.sign_in import NONCE, SENDER_SECRET, Issuer, Mailbox, serving

PHONE = "+14155550123"


@dataclass
class World:
    """An application, and what it talks to."""

    api: Api
    issuer: Issuer
    mailbox: Mailbox
    settings: dict[str, Any]

    @property
    def nobody(self) -> Caller:
        return self.api.caller(None)

    async def challenge(self, **recipient: str) -> str:
        """Have a code sent: `phoneNumber=` or `email=`."""
        answer = await self.nobody.post("/v1/auth/otp", json=recipient)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["challengeId"])

    async def by_phone(self, number: str = PHONE, **device: Any) -> httpx2.Response:
        """Sign in by phone."""
        challenge = await self.challenge(phoneNumber=number)
        body = {"challengeId": challenge, "code": self.mailbox.code(number), **device}
        return await self.nobody.post("/v1/auth/otp/verify", json=body)

    async def by_email(self, address: str, **device: Any) -> httpx2.Response:
        """Sign in by email."""
        challenge = await self.challenge(email=address)
        body = {"challengeId": challenge, "code": self.mailbox.code(address), **device}
        return await self.nobody.post("/v1/auth/otp/verify", json=body)

    async def by_token(
        self, provider: str, subject: str, *, device: Any = None, **claims: Any
    ) -> httpx2.Response:
        """Sign in by an ID token of the issuer."""
        body = {"idToken": self.issuer.token(subject, **claims), "nonce": NONCE}
        return await self.nobody.post(f"/v1/auth/oidc/{provider}", json={**body, **(device or {})})

    def at(self, address: str) -> Caller:
        """Somebody at another client address."""
        transport = httpx2.ASGITransport(app=self.api.app, client=(address, 50_000))
        return Caller(httpx2.AsyncClient(transport=transport, base_url="http://satchel.test"), None)

    async def may_ask_again(self) -> None:
        """The time after which a requester gets another code has passed for everybody."""
        await Budget.raw().delete_many({"_id": {"$regex": "^asked:"}})

    def person(self, answer: httpx2.Response) -> Caller:
        """Whoever has signed in by this answer."""
        assert answer.status_code == 200, answer.text
        return self.api.caller(answer.json()["accessToken"], answer.json()["userId"])

    async def refresh(self, token: str) -> httpx2.Response:
        return await self.nobody.post("/v1/auth/refresh", json={"refreshToken": token})


@pytest.fixture(scope="session")
def _outside() -> Iterator[tuple[Issuer, Mailbox]]:
    issuer, mailbox = Issuer(), Mailbox()
    with serving(issuer, mailbox):
        yield issuer, mailbox


@pytest.fixture
def outside(_outside: tuple[Issuer, Mailbox]) -> dict[str, Any]:
    """Settings by which an application finds issuer and mailbox."""
    issuer, mailbox = _outside
    issuer.down = mailbox.down = False
    mailbox.answers = True
    mailbox.messages.clear()
    provider = {"client_ids": ["client"], "issuers": [issuer.url], "jwks_url": f"{issuer.url}/keys"}
    return {
        **{f"google_{name}": value for name, value in provider.items()},
        **{f"facebook_{name}": value for name, value in provider.items()},
        "sender_url": mailbox.url,
        "sender_secret": SecretStr(SENDER_SECRET),
        "otp_per_client_per_hour": 10_000,
        "sign_in_failures_per_client_per_hour": 100_000,
    }


@pytest.fixture
async def world(
    make_api: MakeApi, outside: dict[str, Any], _outside: tuple[Issuer, Mailbox]
) -> World:
    """An application with everything that sign-in needs."""
    return World(await make_api(**outside), *_outside, outside)
