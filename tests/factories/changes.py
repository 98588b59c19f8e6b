"""Asking for changes, page by page."""

from typing import Any

from tests.factories.app_data import DATA
from tests.harness import Caller

CHANGES = DATA.removesuffix("/data") + "/changes"


async def ask(caller: Caller, since: str | None = None, **params: Any) -> Any:
    answer = await caller.get(CHANGES, params={**params, **({"since": since} if since else {})})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def follow(caller: Caller, since: str | None = None, **params: Any) -> tuple[list[Any], str]:
    """What a pass brings, page by page."""
    found: list[Any] = []
    while True:
        body = await ask(caller, since, **params)
        found += body["changes"]
        since = body["cursor"]
        if not body["more"]:
            return found, since


def told(found: list[Any]) -> list[tuple[str, int, Any]]:
    return [(each["dataKey"], each["version"], each.get("value", "gone")) for each in found]


async def put(caller: Caller, *keys: str, value: Any = 1) -> None:
    for key in keys:
        assert (await caller.put(f"{DATA}/{key}", json=value)).is_success
