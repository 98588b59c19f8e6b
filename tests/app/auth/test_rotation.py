"""Rotation with overlap: of the keys that sign tokens, and of API keys; when each was last used."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from bson import ObjectId
from typer.testing import CliRunner

from app.auth.cleanup import clean_up
from app.identity import signing_keys
from app.identity.tokens import InvalidToken, load_tokens
from models import ApiKey
from models.base import now
from scripts.cli import app as cli
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api


def kid_of(token: str | None) -> str:
    assert token is not None
    return str(jwt.get_unverified_header(token)["kid"])


async def published(api: Api) -> list[str]:
    return [
        key["kid"] for key in (await api.caller(None).get("/.well-known/jwks.json")).json()["keys"]
    ]


def time_passes(api: Api, seconds: float = 60) -> None:
    """As if the server had looked at the file that long ago."""
    api.app.state.authenticator.tokens._keys._looked_at -= seconds


async def test_a_running_server_signs_by_the_new_key_and_honours_the_old_one(
    make_api: MakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await make_api(data_dir=tmp_path)
    user = (await (await api.key("admin")).post("/v1/users", json={})).json()["id"]
    old = api.token(user)
    monkeypatch.setenv("SATCHEL_DATA_DIR", str(tmp_path))
    from app.settings import load_settings

    load_settings.cache_clear()
    assert CliRunner().invoke(cli, ["keys", "rotate"]).exit_code == 0
    load_settings.cache_clear()
    time_passes(api)
    new = api.token(user)
    assert kid_of(new.credential) != kid_of(old.credential)
    for caller in (old, new):
        assert (await caller.get("/v1/users/me")).status_code == 200
    assert await published(api) == [kid_of(new.credential), kid_of(old.credential)]
    assert (tmp_path / "token-key.pem").stat().st_mode & 0o777 == 0o600


async def test_a_server_that_has_not_looked_yet_looks_when_it_meets_an_unknown_key(
    make_api: MakeApi, tmp_path: Path
) -> None:
    one, other = await make_api(data_dir=tmp_path), await make_api(data_dir=tmp_path)
    user = (await (await one.key("admin")).post("/v1/users", json={})).json()["id"]
    signing_keys.rotate(tmp_path / "token-key.pem")
    time_passes(one)
    time_passes(other, 2)
    assert (await other.caller(one.token(user).credential).get("/v1/users/me")).status_code == 200


async def test_an_old_key_is_refused_and_pruned_once_its_tokens_are_dead(
    make_api: MakeApi, tmp_path: Path
) -> None:
    api = await make_api(data_dir=tmp_path)
    path = tmp_path / "token-key.pem"
    tokens = api.app.state.authenticator.tokens
    old, _ = tokens.mint(ObjectId(), issued_at=datetime.now(UTC).timestamp())
    signing_keys.rotate(path)
    made = signing_keys.read_keys(path)[-1].made
    assert made is not None
    assert signing_keys.prune(path) == 0
    text = path.read_text()
    path.write_text(text.replace(made.isoformat(), (made - timedelta(hours=2)).isoformat()))
    time_passes(api)
    with pytest.raises(InvalidToken):
        tokens.verify(old)
    assert (len(signing_keys.read_keys(path)), len(await published(api))) == (2, 1)
    assert (signing_keys.prune(path), len(signing_keys.read_keys(path))) == (1, 1)


async def test_a_half_written_file_changes_nothing(make_api: MakeApi, tmp_path: Path) -> None:
    api = await make_api(data_dir=tmp_path)
    path = tmp_path / "token-key.pem"
    whole, before = path.read_text(), await published(api)
    path.write_text(whole[:40])
    time_passes(api)
    assert await published(api) == before
    path.write_text(whole + whole[:60])  # a rotation that was cut short, and another one after it
    signing_keys.rotate(path)
    time_passes(api)
    assert len(await published(api)) == 2


def test_a_key_of_openssl_appended_by_hand_is_taken(base_settings: object, tmp_path: Path) -> None:
    from app.settings import Settings

    settings = Settings(_env_file=None, data_dir=tmp_path)
    load_tokens(settings)
    path = tmp_path / "token-key.pem"
    pem = signing_keys.read_keys(path)[0].pem
    other = tmp_path / "other"
    other.mkdir()
    load_tokens(Settings(_env_file=None, data_dir=other))
    by_hand = signing_keys.read_keys(other / "token-key.pem")[0].pem
    path.write_bytes(pem + by_hand)
    assert [key.made for key in signing_keys.read_keys(path)] == [None, None]
    assert len(load_tokens(settings).jwks()["keys"]) == 2


async def test_a_rotated_api_key_overlaps_and_then_ends(cast: Cast, api: Api) -> None:
    made = (
        await cast.admin.post("/v1/api-keys", json={"name": "x", "scopes": ["users:read"]})
    ).json()
    old = api.caller(made["key"])
    rotated = await cast.admin.post(f"/v1/api-keys/{made['id']}/rotate")
    new = api.caller(rotated.json()["key"])
    assert (rotated.status_code, rotated.json()["id"]) == (200, made["id"])
    assert rotated.json()["key"] != made["key"]
    for caller in (old, new):
        assert (await caller.get("/v1/users")).status_code == 200
    listed = (await cast.admin.get("/v1/api-keys")).json()["items"][0]
    assert listed["previousUntil"] == rotated.json()["previousUntil"]
    assert {"key", "hash", "previousHash"} & listed.keys() == set()
    await ApiKey.raw().update_one({"_id": ObjectId(made["id"])}, {"$set": {"previousUntil": now()}})
    api.app.state.authenticator.forget(ObjectId(made["id"]))
    assert (await old.get("/v1/users")).status_code == 401
    assert (await new.get("/v1/users")).status_code == 200
    assert (await clean_up())["keySecrets"] == 1
    row = await ApiKey.raw().find_one({"_id": ObjectId(made["id"])})
    assert row is not None and "previousHash" not in row


async def test_a_rotation_without_overlap_ends_the_old_secret_at_once(cast: Cast, api: Api) -> None:
    made = (
        await cast.admin.post("/v1/api-keys", json={"name": "x", "scopes": ["users:read"]})
    ).json()
    old = api.caller(made["key"])
    assert (await old.get("/v1/users")).status_code == 200
    path = f"/v1/api-keys/{made['id']}/rotate"
    assert (await cast.admin.post(path, json={"overlapHours": 0})).status_code == 200
    assert (await old.get("/v1/users")).status_code == 401
    assert (await cast.admin.post("/v1/api-keys/nonsense/rotate")).status_code == 404
    assert (await cast.admin.post(path, json={"overlapHours": -1})).status_code == 422


async def test_the_last_use_is_written_once_a_minute_and_moves_no_version(
    make_api: MakeApi,
) -> None:
    api = await make_api(credential_cache_seconds=0)
    server = await api.key("users:read")
    for _ in range(3):
        assert (await server.get("/v1/users")).status_code == 200
    first = await ApiKey.raw().find_one({})
    assert first is not None
    assert first["version"] == 1
    assert now() - first["lastUsedAt"] < timedelta(seconds=30)
    await server.get("/v1/users")
    assert (await ApiKey.raw().find_one({})) == first
    earlier = now() - timedelta(seconds=61)
    await ApiKey.raw().update_one({}, {"$set": {"lastUsedAt": earlier}})
    await server.get("/v1/users")
    later = await ApiKey.raw().find_one({})
    assert later is not None and later["lastUsedAt"] > earlier


async def test_the_life_of_a_key_is_in_the_trail(cast: Cast) -> None:
    made = (
        await cast.admin.post("/v1/api-keys", json={"name": "x", "scopes": ["users:read"]})
    ).json()
    await cast.admin.post(f"/v1/api-keys/{made['id']}/rotate")
    await cast.admin.delete(f"/v1/api-keys/{made['id']}")
    trail = (await cast.admin.get("/v1/admin/audit")).json()["items"]
    assert [one["kind"] for one in trail] == ["key_revoked", "key_rotated", "key_created"]
    assert all(one["detail"] == {"keyId": made["id"]} for one in trail)
