"""Users with their profiles and preferences, by one query each, however many they are."""

from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from tests.cast import Cast
from tests.harness import Api, RequestRecorder


async def test_profiles_and_preferences_come_with_any_number_of_users(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await cast.admin.post("/v1/users", json={"name": f"P{number}"})
    sent: list[str] = []

    def noted(self: Any, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            sent.append(event.command["find"])

    monkeypatch.setattr(RequestRecorder, "started", noted)
    query = {"expand": "profile,preferences", "prefix": "p"}
    items = (await cast.reader.get("/v1/users", params=query)).json()["items"]
    assert [each["profile"]["displayName"] for each in items] == [f"P{n}" for n in range(5)]
    assert {each["preferences"]["userId"] == each["id"] for each in items} == {True}
    assert sorted(name for name in sent if name != "apikeys") == [
        "preferences",
        "profiles",
        "users",
    ]


async def test_what_nobody_knows_is_not_expanded(cast: Cast) -> None:
    assert "profile" not in (await cast.reader.get("/v1/users")).json()["items"][0]
    refused = await cast.reader.get("/v1/users", params={"expand": "profile,secrets"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?expand")
