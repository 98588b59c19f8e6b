"""How keys, times and numbers are stored and sent."""

from datetime import UTC, datetime

import pytest
from bson import ObjectId

from models.api_key import ApiKey, ApiKeyContent
from models.base import parse_id, rfc3339, to_milliseconds

pytestmark = pytest.mark.usefixtures("database")


async def test_a_key_is_found_by_its_secret_and_kept_as_a_hash() -> None:
    content = ApiKeyContent(name="server", scopes=["data:read"], app_id="notes")
    key, secret = ApiKey.issue(content)
    await key.add()
    found = await ApiKey.find_by_secret(secret)
    assert found == key
    assert await ApiKey.find_by_secret(secret[:-1]) is None
    assert await ApiKey.find_by_secret("") is None
    assert secret not in str(await ApiKey.raw().find_one({}))
    assert secret not in repr(key) + str(key.model_dump())
    assert ApiKey.issue(content)[1] != secret
    assert len(secret) >= 43


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        (datetime(2026, 11, 20, 8, 30, 0, 125999, UTC), "2026-11-20T08:30:00.125Z"),
        (datetime(2026, 11, 20, 8, 30), "2026-11-20T08:30:00.000Z"),
        (datetime.fromisoformat("2026-11-20T08:30:00+05:30"), "2026-11-20T03:00:00.000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_sent_in_utc_with_milliseconds(moment: datetime, sent: str) -> None:
    assert rfc3339(to_milliseconds(moment)) == sent


def test_a_time_outside_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 9999"):
        to_milliseconds(datetime.fromisoformat("0001-01-01T00:00:00+14:00"))


@pytest.mark.parametrize("text", ["", "f" * 23, "f" * 25, "g" * 24, "é" * 24, "f" * 12, " " * 24])
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_id(text) is None
    assert parse_id("0123456789abcdef01234567") == ObjectId("0123456789abcdef01234567")
