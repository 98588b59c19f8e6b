"""What a request's line says of its caller: kind, trace, and client as the setting has it."""

import io
import json
import sys
from typing import Any

import httpx2
import pytest

from app.web.observability.callers import client_shown, trace_id
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.factories.log_lines import Kept

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("host", "network", "address"),
    [
        ("203.0.113.77", "203.0.113.0/24", "203.0.113.77"),
        ("2001:db8:1:2::3", "2001:db8:1::/48", "2001:db8:1:2::3"),
        ("::ffff:203.0.113.77", "203.0.113.0/24", "203.0.113.77"),
        ("sk_secret", None, None),
    ],
)
def test_an_address_is_shown_as_far_as_is_wanted(
    host: str, network: str | None, address: str | None
) -> None:
    scope = {"client": (host, 1)}
    assert client_shown(scope, "network") == network
    assert client_shown(scope, "address") == address
    assert client_shown(scope, "none") is None
    assert client_shown({"client": None}, "address") is None


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (PARENT, TRACE),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"{PARENT}-sk_secret", None),
        ("sk_secret", None),
    ],
)
def test_a_trace_is_named_by_a_wellformed_header_alone(sent: str, told: str | None) -> None:
    assert trace_id({"headers": [(b"traceparent", sent.encode())]}) == told
    assert trace_id({"headers": []}) is None


async def test_lines_say_kind_client_and_trace(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Kept()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, write_through=True))
    seen: list[Any] = []
    cast: Cast | None = None
    for how in ("network", "address", "none"):
        api = await make_api(log_level="info", log_format="json", log_clients=how)
        cast = cast or await enrol(api)
        transport = httpx2.ASGITransport(app=api.app, client=("203.0.113.77", 50_000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://satchel.test") as far:
            for caller in (cast.admin, cast.owner, cast.nobody):
                headers = {"traceparent": PARENT}
                if caller.credential:
                    headers["Authorization"] = f"Bearer {caller.credential}"
                await far.get("/v1/users/me", headers=headers)
        lines = [json.loads(line) for line in said.getvalue().splitlines()[-3:]]
        seen += [(line["kind"], line["client"], line["traceId"]) for line in lines]
    assert seen == [
        (kind, client, TRACE)
        for client in ("203.0.113.0/24", "203.0.113.77", None)
        for kind in ("key", "user", "nobody")
    ]
