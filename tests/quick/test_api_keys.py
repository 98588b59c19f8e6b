"""API keys: found by their secret, which is not stored."""

import pytest

from models import ApiKey
from models.api_key import ApiKeyContent, hash_key

pytestmark = pytest.mark.usefixtures("database")


async def test_a_key_is_found_by_its_secret_and_by_nothing_else():
    key, secret = ApiKey.issue(ApiKeyContent(name="server", scopes=["data:read"], app_id="notes"))
    await key.add()
    found = await ApiKey.find_by_secret(secret)
    assert found is not None
    assert (found.id, found.name, found.scopes, found.app_id) == (
        key.id,
        "server",
        ["data:read"],
        "notes",
    )
    assert await ApiKey.find_by_secret(secret + "x") is None


async def test_the_secret_is_neither_stored_nor_shown():
    key, secret = ApiKey.issue(ApiKeyContent(name="server", scopes=["admin"]))
    await key.add()
    row = await ApiKey.raw().find_one({})
    assert row["hash"] == hash_key(secret)
    assert secret not in repr(row) + repr(key)
    assert hash_key(secret) not in repr(key)
