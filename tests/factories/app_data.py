"""Where the tests of app data write."""

from tests.harness import Caller

DATA = "/v1/users/me/apps/notes/data"

K = f"{DATA}/k"


async def fill(caller: Caller, keys: list[str]) -> None:
    for key in reversed(keys):
        assert (await caller.put(f"{DATA}/{key}", json={"of": key})).status_code == 201
