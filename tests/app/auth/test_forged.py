"""Ten thousand malformed and forged credentials: none is let in, none breaks anything."""

import asyncio
import json
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models import RefreshToken, User
from tests.app.auth.conftest import World
from tests.outside.sign_in import NONCE

COUNT = 10_000
AT_ONCE = 20
FORGER = Ed25519PrivateKey.generate()
MEGABYTE = 1_000_000

Forge = Callable[[random.Random, str, dict[str, Any]], str]


def spelled(part: Any) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def cut(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    return token[: chance.randrange(len(token))]


def flipped(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    place = chance.randrange(len(token) - 1)  # the last character has bits that mean nothing
    return (
        token[:place]
        + chance.choice([c for c in "Aaz9-_.=%é" if c != token[place]])
        + token[place + 1 :]
    )


def unsigned(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    header = {
        "alg": chance.choice(["none", "None", "nOnE", "HS256", "RS256", "", None, 7]),
        "typ": "JWT",
    }
    return f"{spelled(header)}.{spelled(claims)}.{chance.choice(['', 'AAAA', 'x' * 86])}"


def by_another_key(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.encode(claims, FORGER, "EdDSA", {"kid": chance.choice([kid, "x", ""])})


def with_other_claims(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    changed = claims | {
        chance.choice(["sub", "aud", "iss", "exp", "roles", "sid"]): chance.choice(
            ["admin", 1e400, []]
        )
    }
    return f"{header}.{spelled(changed)}.{signature}"


def noise(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    length = chance.choice([0, 1, 10, 100, 4000, 5000])
    return "".join(chance.choices("abcXYZ019._-=\t\x7fé", k=length)) or "."


def deep(chance: random.Random, token: str, claims: dict[str, Any]) -> str:
    body = urlsafe_b64encode(b"[" * 2000).decode()
    return f"{body}.{body}.{body}"[: chance.randrange(1, 4000)]


FORGERIES: list[Forge] = [cut, flipped, unsigned, by_another_key, with_other_claims, noise, deep]


async def status_of(
    app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> int:
    """The status of an answer, without the costs of a client."""
    found = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal found
        found = message.get("status", found)

    kind = [(b"host", b"satchel.test")]
    if body:
        kind += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {
        "headers": [*headers, *kind],
        "client": ("127.0.0.1", 1),
        "server": ("satchel.test", 80),
    }
    await app(scope, receive, send)
    return found


async def test_ten_thousand_bad_credentials_let_nobody_in_and_break_nothing(world: World) -> None:
    begun = (await world.by_token("google", "g-1")).json()
    ours = world.api.app.state.authenticator.tokens
    claims = jwt.decode(begun["accessToken"], options={"verify_signature": False})
    other = {**claims, "sub": str(ObjectId()), "roles": ["admin"]}
    own = [  # by our own key, and wrong all the same
        jwt.encode({**claims, **change}, ours._private, "EdDSA", {"kid": ours.kid})
        for change in (
            {"exp": int(time.time()) - 1},
            {"aud": "x"},
            {"iss": "x"},
            {"sub": "x"},
            {"nbf": 2**40},
        )
    ]
    chance = random.Random(1)
    statuses: dict[tuple[str, int], int] = {}

    async def attempt(number: int) -> None:
        kind, method, body, headers = number % 10, "POST", b"", []
        if kind < 6:
            token = own[number % 5] if kind == 5 else forged(begun["accessToken"], number)
            method = "GET"
            path = (
                "/v1/users/me",
                "/v1/auth/sessions",
                "/v1/admin/jobs",
                "/v1/users/me/apps/a/data/k",
            )[number % 4]
            headers = [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))]
        elif kind < 9:
            path = ("/v1/auth/refresh", "/v1/auth/logout")[number % 2]
            body = json.dumps(
                {"refreshToken": forged(begun["refreshToken"], number, "rt_")}
            ).encode()
        else:
            path = "/v1/auth/oidc/google"
            body = json.dumps({"idToken": forged(world_token, number), "nonce": NONCE}).encode()
        key = (path, await status_of(world.api.app, method, path, headers, body))
        statuses[key] = statuses.get(key, 0) + 1

    def forged(token: str, number: int, prefix: str = "") -> str:
        if prefix:
            raw = token.removeprefix(prefix)
            return prefix + (cut, flipped, noise)[number % 3](chance, raw, other)
        return FORGERIES[number % len(FORGERIES)](chance, token, other)

    world_token = world.issuer.token("g-1")
    for start in range(0, COUNT, AT_ONCE):
        await asyncio.gather(*(attempt(number) for number in range(start, start + AT_ONCE)))
    assert sum(statuses.values()) == COUNT
    assert {status for _, status in statuses} <= {401, 422}
    assert (await User.raw().count_documents({}), await RefreshToken.raw().count_documents({})) == (
        1,
        1,
    )
    assert (await world.refresh(begun["refreshToken"])).status_code == 200


async def test_a_megabyte_is_refused_wherever_it_is_sent(world: World) -> None:
    huge = "x" * MEGABYTE
    header = await world.api.client.get("/v1/users/me", headers={"Authorization": f"Bearer {huge}"})
    assert header.status_code == 401
    for path, body in (
        ("/v1/auth/refresh", {"refreshToken": huge}),
        ("/v1/auth/logout", {"refreshToken": huge}),
        ("/v1/auth/oidc/google", {"idToken": huge, "nonce": NONCE}),
        ("/v1/auth/oidc/google", {"idToken": "a.b.c", "nonce": huge}),
        ("/v1/auth/otp/verify", {"challengeId": huge, "code": "123456"}),
        ("/v1/auth/otp/verify", {"challengeId": "x", "code": huge}),
        ("/v1/auth/otp", {"phoneNumber": huge}),
        ("/v1/auth/otp", {"email": huge}),
    ):
        assert (await world.nobody.post(path, json=body)).status_code == 422
        assert (await world.nobody.post(path, json={**body, "more": huge})).status_code == 413
