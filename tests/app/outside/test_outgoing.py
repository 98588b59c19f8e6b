"""Requests to the outside: what failures mean, how long they wait, and that no way leads inside in
production."""

import gzip
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app.outside.addresses import is_public
from app.outside.client import TryLater, outgoing, retry_after
from app.outside.keyring import new_keys
from app.settings import Settings
from models.base import now
from tests.outside.server import Asked, Told, served
from tests.production import PRODUCTION


def settings(**fields: Any) -> Settings:
    return Settings(
        _env_file=None, mongodb_uri="mongodb://x", outgoing_timeout_seconds=0.5, **fields
    )


def live(**fields: Any) -> Settings:
    return settings(**PRODUCTION, keyring=new_keys().dump(), **fields)


def answer(told: Told) -> Any:
    return lambda asked: told


@pytest.mark.parametrize(
    ("told", "reason", "wait"),
    [
        (Told(500), "server_error", None),
        (Told(503, headers={"Retry-After": "120"}), "server_error", 120),
        (Told(429, headers={"Retry-After": "7"}), "rate_limited", 7),
        (Told(403, headers={"X-RateLimit-Remaining": "0"}), "rate_limited", None),
        (Told(302, headers={"Location": "http://127.0.0.1:1/"}), "redirected", None),
        (Told(200, raw=b"x" * 100, cut=True), "unreachable", None),
        (Told(200, raw=b"x" * 100, hang=True), "timeout", None),
        (Told(200, raw=b"x" * (17 * 1024 * 1024)), "answer_too_large", None),
    ],
)
async def test_what_is_over_by_itself_is_try_later(
    told: Told, reason: str, wait: float | None
) -> None:
    roomy = {"outgoing_timeout_seconds": 10.0} if reason == "answer_too_large" else {}
    async with (
        served(answer(told)) as server,
        outgoing(settings().model_copy(update=roomy), server.url) as http,
    ):
        with pytest.raises(TryLater) as caught:
            await http.send("GET", "/secret-path", query={"token": "planted"})
    assert (caught.value.reason, caught.value.retry_after) == (reason, wait)
    assert "planted" not in repr(caught.value)


async def test_nobody_there_is_try_later() -> None:
    async with outgoing(settings(), "http://127.0.0.1:9") as http:
        with pytest.raises(TryLater, match="unreachable"):
            await http.send("GET", "/")


async def test_in_production_no_name_and_no_address_leads_inside() -> None:
    def serve(asked: Asked) -> Told:
        return Told(200, {"inside": True})

    async with served(serve) as server:
        port = server.url.rsplit(":", 1)[1]
        for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "169.254.169.254"):
            async with outgoing(live(), f"http://{host}:{port}") as http:
                with pytest.raises(TryLater, match="unreachable"):
                    await http.send("GET", "/")
        assert server.asked == []
        async with outgoing(
            live(outgoing_private_hosts=["localhost"]), f"http://localhost:{port}"
        ) as http:
            assert (await http.send("GET", "/")).json() == {"inside": True}


WRAPPINGS = ("::ffff:", "::ffff:0:", "64:ff9b::")
INNER = (
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.0.9",
)
INNER += (
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.1",
)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        *((f"{prefix}93.184.215.14", True) for prefix in ("", *WRAPPINGS)),
        *((prefix + inner, False) for prefix in ("", *WRAPPINGS) for inner in INNER),
        *((f"::{inner}", False) for inner in ("93.184.215.14", "10.0.0.1", "")),
        *((f"64:ff9b:1::{inner}", False) for inner in ("1", "93.184.215.14", "10.0.0.1")),
        *((f"64:ff9b:1:ffff{rest}", False) for rest in ("::", ":1:2:3:4")),
        *((f"192.0.0.{last}", False) for last in (0, 8, 9, 10, 170, 255)),
        ("2002:0a00:0001::", False),
        *(
            (place, False)
            for place in (
                "fec0::1",
                "fc00::1",
                "ff02::1",
                "ff0e::1",
                "2001::1",
                "4000::1",
                "5f00::1",
            )
        ),
        *((place, False) for place in ("2001:db8::1", "3fff::1", "100::1", "fe80::1")),
    ],
)
def test_public_is_what_everyone_reaches(address: str, public: bool) -> None:
    assert is_public(address) == public


def test_retry_after_is_read_as_seconds_as_a_date_and_as_githubs_reset() -> None:
    soon = now() + timedelta(seconds=100)  # by the clock that it is measured with
    assert retry_after({"retry-after": "5"}) == 5
    assert 90 < (retry_after({"retry-after": format_datetime(soon, usegmt=True)}) or 0) <= 100
    assert 90 < (retry_after({"x-ratelimit-reset": str(soon.timestamp())}) or 0) <= 100.01
    assert retry_after({"retry-after": "999999999"}) == 6 * 3600
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("encoding", "raw", "reason"),
    [
        ("gzip", gzip.compress(bytes(64 * 1024 * 1024)), "answer_too_large"),
        ("gzip", gzip.compress(b'{"a":1}')[:-4], "malformed_answer"),
        ("gzip", b'{"a":1}', "malformed_answer"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), "malformed_answer"),
        ("deflate", b"{}", "malformed_answer"),
    ],
    ids=["too_large", "cut", "not_packed", "packed_twice", "other_packing"],
)
async def test_a_packed_answer_is_unpacked_no_further_than_a_body_may_be(
    encoding: str, raw: bytes, reason: str
) -> None:
    told = Told(200, raw=raw, headers={"Content-Encoding": encoding})
    roomy = settings().model_copy(update={"outgoing_timeout_seconds": 10.0})
    async with served(answer(told)) as server, outgoing(roomy, server.url) as http:
        with pytest.raises(TryLater) as caught:
            await http.send("GET", "/")
    assert caught.value.reason == reason


async def test_a_packed_answer_is_read() -> None:
    told = Told(200, raw=gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip"})
    async with served(answer(told)) as server, outgoing(settings(), server.url) as http:
        assert (await http.send("GET", "/")).json() == {"a": 1}
        assert server.asked[-1].headers["accept-encoding"] == "gzip"
