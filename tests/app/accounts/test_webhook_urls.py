"""Where a webhook may lead: in production nowhere within, however the name is dressed up."""

import asyncio
import socket
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId

from app.accounts.webhook_keys import WebhookKeys, load_webhook_keys
from app.accounts.webhook_urls import check_webhook_url, resolve
from app.cards.webhooks import Sender
from app.errors import Invalid
from app.outgoing import RefusedAddress
from app.settings import Settings
from models.account import Account
from models.card_event import CardEvent

PUBLIC = "93.184.215.14"


@pytest.fixture
def production(base_settings: Settings) -> Settings:
    return base_settings.model_copy(update={"environment": "production"})


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have the name service answer with these."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0.0.0.0/",
        "https://[fec0::1]/",
        "https://[::ffff:0:10.0.0.1]/",
        "https://[64:ff9b:1::1]/",
        "https://192.0.0.9/",
        "https://[fe80::1%25eth0]/",
        "https://hooks.example:99999/",
        "https://user@hooks.example/",
    ],
)
def test_production_takes_no_url_that_leads_within(production: Settings, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_webhook_url(url, production)
    assert refused.value.errors[0]["pointer"] == "/webhookUrl"


def test_production_takes_https_and_development_takes_what_is_local(
    production: Settings, base_settings: Settings
) -> None:
    assert check_webhook_url("https://hooks.example/cards?x=1", production) is None
    assert check_webhook_url("http://127.0.0.1:9000/", base_settings) is None
    assert check_webhook_url(None, production) is None


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], ["fec0::1"], ["192.0.0.9"], []])
async def test_a_name_that_leads_within_is_refused_when_it_is_looked_up(
    production: Settings, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    names(monkeypatch, *addresses)
    with pytest.raises(RefusedAddress):
        await resolve("https://hooks.example/", production)


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(
    production: Settings, monkeypatch: pytest.MonkeyPatch, database: Any
) -> None:
    """Another answer of the name service, a moment later, leads nowhere else; the certificate is still the name's."""
    names(monkeypatch, PUBLIC)
    seen: list[httpx.Request] = []

    def transport(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    account = await Account(name="A", webhook_url="https://hooks.example:8443/cards").add()
    assert account.id is not None
    event = CardEvent(id=ObjectId(), account_id=account.id, subject=ObjectId(), sequence=1, type="card.updated")
    async with httpx.AsyncClient(transport=httpx.MockTransport(transport)) as client:
        assert await Sender(client, WebhookKeys(b"k" * 32), production).send(event)
    (request,) = seen
    assert (request.url.host, request.url.port, request.url.path) == (PUBLIC, 8443, "/cards")
    assert request.headers["host"] == "hooks.example:8443"
    assert request.extensions["sni_hostname"] == "hooks.example"


def test_the_key_is_made_for_its_owner_alone_and_stays(base_settings: Settings, tmp_path: Path) -> None:
    settings = base_settings.model_copy(update={"data_dir": tmp_path})
    account = ObjectId()
    secret = load_webhook_keys(settings).secret(account, 1)
    path = tmp_path / "webhook-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = load_webhook_keys(settings)
    assert keys.secret(account, 1) == secret
    others = {keys.secret(account, 2), keys.secret(ObjectId(), 1), secret}
    assert len(others) == 3
    assert path.read_text() not in repr(keys)


def test_production_asks_for_a_key_and_makes_none(production: Settings, tmp_path: Path) -> None:
    missing = production.model_copy(update={"webhook_key_file": tmp_path / "absent"})
    with pytest.raises(FileNotFoundError):
        load_webhook_keys(missing)
    short = tmp_path / "short"
    short.write_text("too short")
    with pytest.raises(ValueError, match="less than 32 bytes"):
        load_webhook_keys(production.model_copy(update={"webhook_key_file": short}))
    with pytest.raises(ValueError, match="SATCHEL_WEBHOOK_KEY_FILE"):
        Settings(_env_file=None, environment="production", mongodb_uri="mongodb://x", token_key_file=short)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0",
        "127.0.0.1%2e",
        "%6cocalhost",
        "１２７.0.0.1",  # digits of full width
        "127。0。0。1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "10.1",
        "1.2.3.999",
    ],
)
def test_no_spelling_of_an_address_within_is_taken(production: Settings, host: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_webhook_url(f"https://{host}/hook", production)
    assert refused.value.errors[0]["code"] == "unacceptable_url"


@pytest.mark.parametrize("host", ["localhost.example", "a1.example", "1.example", "93.184.215.14", "0x7f.example"])
def test_names_that_only_look_alike_are_taken(production: Settings, host: str) -> None:
    assert check_webhook_url(f"https://{host}/hook", production) is None
