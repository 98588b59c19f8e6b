"""A production is told where it knows of no proxy, and nothing is said where one is trusted."""

from typing import Any

import pytest

from app.settings import Settings
from app.web.admission import proxies
from app.web.admission.proxies import Proxied
from tests.production import PRODUCTION

REACHED = PRODUCTION | {
    "_env_file": None,
    "mongodb_uri": "mongodb://db/?replicaSet=x",
    "keyring_file": "/keyring",
    "host": "0.0.0.0",
}
BY_ONE = [(b"host", b"x"), (b"x-forwarded-for", b"203.0.113.7")]


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = list[str]()
    monkeypatch.setattr(proxies.log, "warning", lambda event, **_: found.append(event))
    return found


async def nothing(*_: Any) -> None:
    pass


async def ask(layer: Proxied, client: str, headers: list[tuple[bytes, bytes]]) -> None:
    scope = {"type": "http", "client": (client, 5), "headers": headers}
    await layer(scope, nothing, nothing)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ["no proxy of another machine is trusted"]),
        ({"host": "::1"}, []),
        ({"host": "localhost"}, []),
        ({"trusted_proxies": []}, []),
        ({"trusted_proxies": ["10.0.0.0/8"]}, []),
        ({"environment": "development"}, []),
    ],
)
async def test_a_start_says_where_nobody_has_named_a_proxy(
    warnings: list[str], own: dict[str, Any], expected: list[str]
) -> None:
    Proxied(nothing, Settings(**REACHED | own))
    assert warnings == expected


async def test_a_request_by_a_proxy_that_is_not_trusted_is_told_of_once(
    warnings: list[str],
) -> None:
    layer = Proxied(nothing, Settings(**REACHED | {"trusted_proxies": []}))
    await ask(layer, "203.0.113.7", BY_ONE)  # as uvicorn has it of one that is trusted
    await ask(layer, "192.0.2.1", BY_ONE[:1])
    assert warnings == []
    for _ in range(2):
        await ask(layer, "192.0.2.1", BY_ONE)
    assert warnings == ["a proxy is not trusted"]


async def test_development_looks_at_no_proxy(warnings: list[str]) -> None:
    await ask(Proxied(nothing, Settings(_env_file=None)), "192.0.2.1", BY_ONE)
    assert warnings == []


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "proxy.example", ""])
def test_a_proxy_is_an_address_or_a_network(wrong: str) -> None:
    with pytest.raises(ValueError, match="addresses and networks"):
        Settings(_env_file=None, trusted_proxies=[wrong])
