"""Senders and secrets: codes go by a signed request in production, and nothing starts without its
secrets."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.auth.secret import keyed_hash, load_secret
from app.settings import Settings
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi

WHOLE = {
    "environment": "production",
    "ledger": "/ledger",
    "mongodb_uri": "mongodb://x",
    "token_key_file": "/k",
    "secret_key_file": "/s",
    "webhook_key_file": "/w",
    "keyring_file": "/r",
    "sender_url": "https://sender.test",
    "sender_secret": "0123456789abcdef",
}


@pytest.mark.parametrize("missing", [name for name in WHOLE if name != "environment"])
def test_production_needs_every_secret_and_a_sender(missing: str) -> None:
    Settings(_env_file=None, **WHOLE)
    with pytest.raises(ValidationError, match=f"SATCHEL_{missing.upper()}"):
        Settings(
            _env_file=None, **{name: value for name, value in WHOLE.items() if name != missing}
        )


@pytest.mark.parametrize("name", ["phone", "email", "My Provider", ""])
def test_a_provider_has_a_name_of_its_own(name: str) -> None:
    provider = {"issuers": ["https://x.test"], "jwksUrl": "https://x.test", "clientIds": ["x"]}
    with pytest.raises(ValidationError, match="cannot be a provider's name"):
        Settings(_env_file=None, oidc_providers={name: provider})


async def test_in_development_codes_are_printed(
    make_api: MakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await make_api()
    challenge = (await api.caller(None).post("/v1/auth/otp", json={"phoneNumber": PHONE})).json()[
        "challengeId"
    ]
    printed = capsys.readouterr().err.split()
    assert (printed[0], printed[3]) == ("code", PHONE)
    body = {"challengeId": challenge, "code": printed[1]}
    assert (await api.caller(None).post("/v1/auth/otp/verify", json=body)).status_code == 200


async def test_a_request_with_another_secret_is_refused_by_the_receiver(
    make_api: MakeApi, world: World
) -> None:
    api = await make_api(
        **{**world.settings, "sender_secret": SecretStr("another secret of theirs")}
    )
    assert (
        await api.caller(None).post("/v1/auth/otp", json={"phoneNumber": PHONE})
    ).status_code == 503
    assert world.mailbox.messages == []


async def test_a_sender_that_nobody_serves_is_503(make_api: MakeApi, world: World) -> None:
    api = await make_api(**{**world.settings, "sender_url": "http://127.0.0.1:9"})
    assert (
        await api.caller(None).post("/v1/auth/otp", json={"phoneNumber": PHONE})
    ).status_code == 503


def test_each_purpose_has_a_key_of_its_own(tmp_path: Path) -> None:
    secret = load_secret(Settings(_env_file=None, data_dir=tmp_path))
    again = load_secret(Settings(_env_file=None, data_dir=tmp_path))
    assert (
        secret.key("one-time codes") == again.key("one-time codes") != secret.key("refresh token")
    )
    assert len(secret.key("x")) == 32
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secret-key").write_bytes(b"short")
    with pytest.raises(ValueError, match="less than 32 bytes"):
        load_secret(Settings(_env_file=None, data_dir=tmp_path))


def test_parts_of_a_hash_do_not_run_together() -> None:
    assert keyed_hash(b"k", "ab", "c") != keyed_hash(b"k", "a", "bc")
