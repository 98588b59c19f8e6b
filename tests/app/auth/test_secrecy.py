"""No code, token or key in plain anywhere: every collection, every log line, every answer but the
issuing one."""

import re
from typing import Any

import httpx2
import pytest
from bson import json_util
from pymongo.asynchronous.database import AsyncDatabase

from app.web.observability import configure_logging
from models.base import Raw
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.outside.sign_in import NONCE


class Watched:
    """What was issued, and everything that was answered besides."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.answers: list[str] = []

    def issued(self, answer: httpx2.Response, *names: str) -> dict[str, Any]:
        """An answer that issues these; the rest of it is watched like any other."""
        body: dict[str, Any] = answer.json()
        self.secrets += [body[name] for name in names]
        self.seen(answer, str({name: value for name, value in body.items() if name not in names}))
        return body

    def seen(self, answer: httpx2.Response, body: str | None = None) -> httpx2.Response:
        self.answers.append(f"{answer.headers} {answer.text if body is None else body}")
        return answer

    def found_in(self, text: str) -> list[str]:
        return [
            secret
            for secret in self.secrets
            if re.search(rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])", text)
        ]


async def test_nothing_secret_is_left_in_plain(
    capfd: pytest.CaptureFixture[str], make_api: MakeApi, world: World, database: AsyncDatabase[Raw]
) -> None:
    world.api = await make_api(**world.settings, log_level="debug")
    watched, nobody = Watched(), world.nobody
    tokens = ("accessToken", "refreshToken", "deviceToken")

    challenge = watched.seen(await nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})).json()[
        "challengeId"
    ]
    code = world.mailbox.code(PHONE)
    wrong = {"challengeId": challenge, "code": f"{(int(code) + 1) % 10**6:06}"}
    watched.seen(await nobody.post("/v1/auth/otp/verify", json=wrong))
    verified = await nobody.post(
        "/v1/auth/otp/verify", json={"challengeId": challenge, "code": code}
    )
    begun = watched.issued(verified, *tokens)
    watched.seen(
        await nobody.post("/v1/auth/otp/verify", json={"challengeId": challenge, "code": code})
    )
    waiting = watched.seen(await nobody.post("/v1/auth/otp", json={"email": "ann@example.com"}))
    watched.secrets += [code, world.mailbox.code("ann@example.com"), wrong["code"]]
    assert waiting.status_code == 202

    id_token = world.issuer.token("g-1")
    watched.secrets += [id_token, NONCE]
    body = {"idToken": id_token, "nonce": NONCE}
    watched.issued(await nobody.post("/v1/auth/oidc/google", json=body), *tokens)
    watched.seen(await nobody.post("/v1/auth/oidc/google", json={**body, "nonce": "x"}))
    watched.seen(await nobody.post("/v1/auth/oidc/nobody", json=body))
    watched.issued(await world.refresh(begun["refreshToken"]), *tokens)
    watched.issued(await world.refresh(begun["refreshToken"]), *tokens)
    watched.seen(await world.refresh(begun["refreshToken"] + "x"))
    watched.seen(
        await nobody.post("/v1/auth/refresh", json={"refreshToken": begun["refreshToken"], "x": 1})
    )

    admin = await world.api.key("admin")
    watched.secrets.append(str(admin.credential))
    made = watched.issued(
        await admin.post("/v1/api-keys", json={"name": "x", "scopes": ["users:read"]}), "key"
    )
    watched.issued(await admin.post(f"/v1/api-keys/{made['id']}/rotate"), "key")
    minted = await admin.post(f"/v1/users/{begun['userId']}/sessions")
    watched.issued(minted, "accessToken")

    ann = world.api.caller(begun["accessToken"])
    for path in (
        "/v1/users/me",
        "/v1/users/me/complete",
        "/v1/auth/sessions",
        "/v1/users/me/identities",
    ):
        watched.seen(await ann.get(path))
    for path in ("/v1/api-keys", "/v1/admin/audit", "/v1/users", "/v1/admin/jobs", "/metrics"):
        watched.seen(await admin.get(path))
    watched.seen(await world.api.caller(begun["accessToken"] + "x").get("/v1/users/me"))
    settings = world.api.settings
    watched.secrets.append(settings.secret_key_path.read_text().strip())
    watched.secrets += re.findall(
        r"^[A-Za-z0-9+/=]{40,}$", settings.token_key_path.read_text(), re.MULTILINE
    )
    watched.secrets.append(str(world.settings["sender_secret"].get_secret_value()))
    assert len(watched.secrets) >= 20

    stored = ""
    for name in await database.list_collection_names():
        rows = await database[name].find({}).to_list()
        stored += json_util.dumps(rows, json_options=json_util.CANONICAL_JSON_OPTIONS)
    configure_logging(
        settings.model_copy(update={"log_level": "error"})
    )  # the end of this application is not captured
    logged = "".join(capfd.readouterr())
    assert "/v1/auth/otp/verify" in logged
    assert watched.found_in(stored) == []
    assert watched.found_in(logged) == []
    assert watched.found_in("\n".join(watched.answers)) == []
    assert watched.found_in(repr(world.api.app.state.sign_in.__dict__) + repr(settings)) == []
