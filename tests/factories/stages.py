"""A stage on which every operation of the OpenAPI document can be played."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from beanie import PydanticObjectId
from bson import ObjectId

from models.bank_account import BankAccount
from models.connection import Connection
from models.person import IdentityJoin
from tests.described import OPERATIONS, examples_of
from tests.factories.parameters import made, names_in
from tests.factories.scenes import Scene
from tests.harness import Caller
from tests.outside.hosts.github import GitHubServer
from tests.outside.sign_in import NONCE, Issuer, Mailbox
from tests.outside.teller import signed

TELLER_SECRET = "teller's secret"


def parameter_examples(operation: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Place and name of a parameter -> its example."""
    found = {}
    for parameter in operation.get("parameters", []):
        shown = [*examples_of(parameter), *examples_of(parameter["schema"])]
        if shown:
            found[parameter["in"], parameter["name"]] = shown[0]
    return found


@dataclass
class Stage(Scene):
    """An application with all that the examples' routes are about, made as far as it is asked
    for."""

    issuer: Issuer
    mailbox: Mailbox
    host: GitHubServer

    async def place(self, path: str, shown: dict[tuple[str, str], Any]) -> str:
        """The path with a value for each of its parameters: its example, or the id of what is
        there."""
        if "{service}" in path:
            return await self.webhook_place()
        found = {
            name: shown.get(("path", name)) or await made(name, self, path)
            for name in names_in(path)
        }
        return path.format(**found)

    async def webhook_place(self) -> str:
        await made("projectId", self, "/repository")
        return self.host.delivery(self.host.repos["example/notes"], {})[0]

    async def store(self, path: str, place: str) -> None:
        """What only a PUT makes, at a place of such a path; a join that can be decided or
        undone."""
        if path.startswith("/v1/analytics/joins/"):
            state = "joined" if path.endswith("/undo") else "aside"
            user = ObjectId(self.cast.owner.id)
            await IdentityJoin(
                id="notes/a:kiosk-1", app_id="notes", user_id=user, state=state
            ).add()
        if path.endswith("/restore"):
            await self.store(*(each.removesuffix("/restore") for each in (path, place)))
        if path.endswith(("/data/{dataKey}", "/v1/apps/{appId}", "/by/{field}/{value}")):
            example = examples_of(
                OPERATIONS[f"PUT {path}"]["requestBody"]["content"]["application/json"]
            )[0]
            assert (await self.caller(place).put(place, json=example)).status_code == 201
        if path.endswith("/decisions"):
            await self.undecide(place.split("/")[3])

    async def undecide(self, connection: str) -> None:
        """Have a login told anew, with an account that may be the one of before."""
        account, user = (
            PydanticObjectId(each) for each in ("691f0c0ffee691f0c0ffee69", self.cast.owner.id)
        )
        told = {"name": "Checking", "type": "checking", "currency": "USD"}
        before: dict[str, Any] = {
            **told,
            "user_id": user,
            "connection_id": PydanticObjectId(connection),
        }
        await BankAccount(id=account, provider_id="acc_of_before", **before).add()
        asked = {**told, "providerId": "acc_oiin624kqjrg2mp2ea000", "candidates": [account]}
        await Connection.change({"_id": ObjectId(connection)}, {"undecided": [asked]})

    async def send(
        self, method: str, path: str, media: str, body: Any, shown: dict[tuple[str, str], Any]
    ) -> Any:
        """Send an example as its route wants it: by whom, and signed how."""
        content, headers = orjson.dumps(body), {"Content-Type": media}
        if path == "/v1/webhooks/teller":
            content, headers = signed(body, TELLER_SECRET)
        elif path.startswith("/v1/webhooks/"):
            hook = next(iter(self.host.repos["example/notes"].hooks.values()))
            headers = {
                **self.host.headers(hook, content, secrets.token_hex(8)),
                "X-GitHub-Event": "ping",
            }
        params = {name: value for (kind, name), value in shown.items() if kind == "query"}
        headers |= {name: value for (kind, name), value in shown.items() if kind == "header"}
        caller = self.caller(path)
        return await caller.request(method, path, content=content, headers=headers, params=params)

    def caller(self, path: str) -> Caller:
        if path.startswith(("/v1/auth/", "/v1/webhooks/")):
            return self.cast.nobody
        if path.startswith(("/v1/batch", *(f"/v1/{kind}" for kind in SEGMENT))):
            return self.cast.app_key
        mine = (
            "/v1/users/me",
            "/v1/projects",
            "/v1/connections",
            f"/v1/users/{self.cast.owner.id}/connections",
        )
        return self.cast.owner if path.startswith(mine) else self.cast.admin

    async def known(self, path: str, body: Any) -> Any:
        """The body, with what was sent by message, signed elsewhere, or made just now in its
        place."""
        replaced: dict[str, Any] = {
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln": self.issuer.token("ann"),
            "n-1": NONCE,
        }
        replaced["65a0c0ffee65a0c0ffee65a0"] = self.cast.owner.id
        if path.endswith("/merge"):
            replaced["691f0c0ffee691f0c0ffee69"] = self.cast.stranger.id
        text = orjson.dumps(body).decode()
        if "rt_GUEST" in text:
            begun = await self.api.caller(None).post("/v1/auth/guests", json={})
            replaced["rt_GUEST"] = begun.json()["refreshToken"]
        if "mJ2x0Yq8" in text:
            challenge, code = await self.challenge(path)
            replaced |= {"mJ2x0Yq8": challenge, "123456": code}
        if "rt_AAAA" in text:
            replaced["rt_AAAA"] = (await self.sign_in()).json()["refreshToken"]
        if "spending-profiles" in path or "/cards" in path:
            cards = await self.cards()
            replaced |= {
                "691f0c0ffee691f0c0ffee70": cards.holder.id,
                "691f0c0ffee691f0c0ffee71": cards.profile,
            }
        for shown, real in replaced.items():
            text = text.replace(f'"{shown}"', f'"{real}"')
        return orjson.loads(text)

    async def challenge(self, path: str) -> tuple[str, str]:
        """A challenge of the kind that a route takes, and its code."""
        mine = path.startswith("/v1/users/me/")
        place, recipient = "/v1/auth/otp", {"phoneNumber": "+14155550123"}
        if mine:
            place = "/v1/users/me/identities/challenges"
        if path.endswith("/email"):
            place, recipient = "/v1/users/me/email", {"email": "ann@new.example.com"}
        challenge = await self.make(
            self.cast.owner if mine else self.cast.nobody, place, recipient, "challengeId"
        )
        return challenge, self.mailbox.code(next(iter(recipient.values())))

    async def sign_in(self) -> httpx2.Response:
        challenge, code = await self.challenge("/v1/auth/otp/verify")
        return await self.cast.nobody.post(
            "/v1/auth/otp/verify", json={"challengeId": challenge, "code": code}
        )


SEGMENT = ("track", "identify", "page", "screen", "group", "alias")
