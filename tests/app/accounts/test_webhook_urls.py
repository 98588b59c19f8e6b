"""Where a webhook may lead: in production nowhere within, however the name is dressed up."""

import asyncio
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from app.accounts.webhook_keys import load_webhook_keys
from app.accounts.webhook_urls import check_webhook_url
from app.cards.webhooks import DeliveryFailed, sender
from app.errors import Invalid
from app.settings import Settings
from models.account import Account
from models.card_event import CardEvent
from tests.outside.server import Told, served

PUBLIC = "93.184.215.14"


@pytest.fixture
def production(base_settings: Settings) -> Settings:
    return base_settings.model_copy(update={"environment": "production"})


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have the name service answer with these."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses
        ]

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


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], ["fec0::1"], ["192.0.0.9"], []]
)
async def test_a_name_that_leads_within_is_refused_when_it_is_looked_up(
    production: Settings, monkeypatch: pytest.MonkeyPatch, database: Any, addresses: list[str]
) -> None:
    names(monkeypatch, *addresses)
    with pytest.raises(DeliveryFailed, match="not public"):
        await delivered(production, "https://hooks.example/")


async def test_a_url_that_was_taken_in_development_is_not_called_in_production(
    production: Settings, database: Any
) -> None:
    async with served(lambda asked: Told(200)) as server:
        with pytest.raises(DeliveryFailed, match="by https"):
            await delivered(production, server.url)
        assert server.asked == []


async def delivered(settings: Settings, url: str) -> bool:
    """Send an event to an account with this webhook."""
    account = await Account(name="A", webhook_url=url).add()
    assert account.id is not None
    event = CardEvent(
        id=ObjectId(), account_id=account.id, subject=ObjectId(), sequence=1, type="card.updated"
    )
    settings = settings.model_copy(update={"webhook_key_file": await _key_file(settings)})
    async with sender(settings) as sending:
        return await sending.send(event)


async def _key_file(settings: Settings) -> Path:
    path = settings.data_dir / "webhook-key-of-test"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("k" * 32)
    return path


def test_the_key_is_made_for_its_owner_alone_and_stays(
    base_settings: Settings, tmp_path: Path
) -> None:
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
        Settings(
            _env_file=None,
            environment="production",
            mongodb_uri="mongodb://x",
            token_key_file=short,
        )


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
        "local\u00adhost",  # nobody sees it, and it falls away where a name is looked up
        "127.0.0.\u200b1",
        "metadata.google.internal",
        "printer.local.",
        "nas.home.arpa",
        "hooks.test",
        "hooks.INVALID",
        "hooks.onion",
    ],
)
def test_no_spelling_of_an_address_within_is_taken(production: Settings, host: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_webhook_url(f"https://{host}/hook", production)
    assert refused.value.errors[0]["code"] == "unacceptable_url"


@pytest.mark.parametrize(
    "host", ["localhost.example", "a1.example", "1.example", "93.184.215.14", "0x7f.example"]
)
def test_names_that_only_look_alike_are_taken(production: Settings, host: str) -> None:
    assert check_webhook_url(f"https://{host}/hook", production) is None


@pytest.mark.parametrize("host", ["hooks.internal", "HOOKS.internal."])
def test_a_reserved_name_is_taken_where_the_operator_reaches_it(
    production: Settings, host: str
) -> None:
    reached = production.model_copy(
        update={"outgoing_private_hosts": ["hooks.internal", "a.localhost"]}
    )
    assert check_webhook_url(f"https://{host}/hook", reached) is None
    for other in ("other.internal", "a.hooks.internal", "a.localhost.", "localhost"):
        with pytest.raises(Invalid):
            check_webhook_url(f"https://{other}/hook", reached)
