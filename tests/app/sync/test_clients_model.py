"""Eight clients with caches and outboxes against one server: whatever happens, they end with what
the server has.

Every version of a key that the server has is accounted for by exactly one write: one that was
acknowledged, or the clock. So none is missing, none happened twice, and no version was used twice.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.settings import Settings
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import now
from tests.cast import Cast
from tests.harness import Caller, RequestRecorder, serve

CLIENTS = 8
KEYS = ["a", "b", "c"]
RUNS, IDS = count(), count()
EXPIRY = "expiry"
small = st.one_of(
    st.integers(0, 3), st.dictionaries(st.sampled_from(["n", "$ref"]), st.integers(0, 3))
)
edit = st.tuples(
    st.sampled_from(["put", "put", "merge", "increment", "delete"]),
    st.sampled_from(KEYS),
    small,
    st.booleans(),
)
edits = st.tuples(st.just("edit"), st.lists(edit, min_size=1, max_size=3))
flushes = st.tuples(
    st.just("flush"),
    st.lists(edit, max_size=3),
    st.booleans(),
    st.sampled_from(["told", "lost", "lost"]),
)
others = st.sampled_from([("poll", 1), ("poll", 2), ("poll", 200), ("forget",)])
singles = st.tuples(
    st.just("single"), st.sampled_from(["put", "delete"]), st.sampled_from(KEYS), small
)
clocks = st.tuples(st.just("expire"), st.sampled_from(KEYS))
steps = st.tuples(
    st.integers(0, CLIENTS - 1),
    st.one_of(edits, edits, edits, flushes, flushes, flushes, others, singles, clocks),
)
plans = st.tuples(
    st.lists(steps, min_size=20, max_size=40), st.sets(st.integers(0, 39), max_size=2)
)


@dataclass
class Server:
    """The one server, which is replaced by another on the same database."""

    settings: Settings
    recorder: RequestRecorder
    owner_id: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    owner: Caller | None = None

    async def restart(self) -> None:
        await self.stack.aclose()
        api = await self.stack.enter_async_context(serve(self.settings, self.recorder))
        self.owner = api.token(self.owner_id)

    @property
    def me(self) -> Caller:
        assert self.owner is not None
        return self.owner


@dataclass
class World:
    """One run: an app of its own, and by whom each version of each key was made."""

    server: Server
    app: str
    made: dict[tuple[str, int], str] = field(default_factory=dict)
    wrote: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/v1/users/me/apps/{self.app}"

    def acknowledged(self, key: str, version: int, by: str) -> None:
        """Two acknowledgements of one version are of one write."""
        assert self.made.setdefault((key, version), by) == by, (key, version)


@dataclass
class Client:
    """A device: what it knows, where it stands, and what it has yet to send."""

    world: World
    cache: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    cursor: str | None = None
    outbox: list[dict[str, Any]] = field(default_factory=list)
    lost_at: int | None = None

    def edit(self, kind: str, key: str, value: Any, conditional: bool) -> None:
        mutation = f"m{next(IDS)}"
        write: dict[str, Any] = {"dataKey": key, "mutationId": mutation}
        if kind == "increment":
            write["jsonPatch"] = [{"op": "increment", "path": "/n", "value": 1}]
        else:
            write |= {
                "put": {"value": value},
                "merge": {"mergePatch": value},
                "delete": {"delete": True},
            }[kind]
        if conditional:
            write["ifVersion"] = self.versions.get(key, 0)
        self.outbox.append(write)

    async def flush(self, *, atomic: bool = False, lost: bool = False) -> None:
        """Send the first write of each key; where the answer is lost, the same writes are sent
        another time."""
        sent = {write["dataKey"]: write for write in reversed(self.outbox)}
        if not sent:
            return
        body = {"atomic": atomic, "writes": list(sent.values())}
        answer = await self.world.server.me.post(f"{self.world.path}/batch", json=body)
        assert answer.status_code in ((200, 412, 422) if atomic else (200,)), answer.text
        if lost:
            return
        for write, result in zip(body["writes"], answer.json()["results"], strict=True):
            self._settle(write, result)

    def _settle(self, write: dict[str, Any], result: dict[str, Any]) -> None:
        key = write["dataKey"]
        if result["status"] == "stored":
            self.world.acknowledged(key, result["version"], write["mutationId"])
            self.world.wrote[write["mutationId"]] = write
            self.outbox.remove(write)
        elif result["status"] == "conflict" and (
            "ifVersion" in write and result["current"] is not None
        ):
            self.outbox[self.outbox.index(write)] = {
                **write,
                "ifVersion": result["current"]["version"],
            }
        elif result["status"] in ("conflict", "invalid"):  # the client gives it up
            self.outbox.remove(write)

    async def poll(self, limit: int) -> None:
        more = True
        while more:
            asked = {"limit": limit} | ({"since": self.cursor} if self.cursor else {})
            answer = await self.world.server.me.get(f"{self.world.path}/changes", params=asked)
            if answer.status_code == 410:
                assert answer.json()["code"] == "cursor_expired"
                self.cache, self.cursor = {}, None
                continue
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for change in page["changes"]:
                self._take(change)
            self.cursor, more = page["cursor"], page["more"]

    def _take(self, change: dict[str, Any]) -> None:
        key = change["dataKey"]
        self.versions[key] = change["version"]
        if change.get("deleted"):
            self.cache.pop(key, None)
        else:
            self.cache[key] = (change["version"], change["value"])

    async def forget(self) -> None:
        """Come with the cursor of another filter, as one who was away too long comes with an old
        one."""
        answer = await self.world.server.me.get(
            f"{self.world.path}/changes", params={"prefix": "a"}
        )
        self.cursor = answer.json()["cursor"]

    async def write_alone(self, kind: str, key: str, value: Any) -> None:
        path = f"{self.world.path}/data/{key}"
        if kind == "put":
            version = (await self.world.server.me.put(path, json=value)).json()["version"]
            self._note(key, version, {"value": value})
            return
        known = await AppData.raw().find_one({"appId": self.world.app, "dataKey": key})
        if (await self.world.server.me.delete(path)).status_code == 204:
            assert known is not None
            self._note(key, known["version"] + 1, {"delete": True})

    def _note(self, key: str, version: int, write: dict[str, Any]) -> None:
        by = f"single{next(IDS)}"
        self.world.acknowledged(key, version, by)
        self.world.wrote[by] = write


async def expire(world: World, key: str) -> None:
    """Have a value's time be over, and the clock make a tombstone of it."""
    row = {"appId": world.app, "dataKey": key, "deleted": False}
    found = await AppData.raw().find_one_and_update(row, {"$set": {"expiresAt": now()}})
    if found is not None:
        await expire_due(100)
        world.acknowledged(key, found["version"] + 1, EXPIRY)


async def send_again(clients: list[Client], number: int) -> None:
    """Whoever heard nothing asks again soon: a key remembers its last eight mutations, and a step
    is one."""
    for client in clients:
        if client.lost_at is not None and number - client.lost_at > 3:
            await client.flush()
            client.lost_at = None


async def act(world: World, client: Client, step: tuple[Any, ...], number: int) -> None:
    what, *how = step
    for each in how[0] if what in ("edit", "flush") else ():
        client.edit(*each)
    if what == "flush":
        await client.flush(atomic=how[1], lost=how[2] == "lost")
        client.lost_at = number if how[2] == "lost" else None
    elif what == "poll":
        await client.poll(how[0])
    elif what == "forget":
        await client.forget()
    elif what == "single":
        await client.write_alone(*how)
    elif what == "expire":
        await expire(world, how[0])


async def end(world: World, clients: list[Client]) -> None:
    """Every outbox is sent, and every client hears of everything."""
    for client in clients:
        while client.outbox:
            await client.flush()
    for client in clients:
        await client.poll(200)


async def check(world: World, clients: list[Client]) -> None:
    listed = (await world.server.me.get(f"{world.path}/data")).json()["items"]
    stored = {row["dataKey"]: (row["version"], row["value"]) for row in listed}
    assert all(client.cache == stored for client in clients)
    async for row in AppData.raw().find({"appId": world.app}):
        versions = [*row.get("history", []), row]
        numbers = [each["version"] for each in versions]
        accounted = sorted(version for key, version in world.made if key == row["dataKey"])
        assert numbers == list(range(1, row["version"] + 1)) == accounted
        for each in versions:
            see_that_it_was_done(world, row["dataKey"], each)


def see_that_it_was_done(world: World, key: str, version: dict[str, Any]) -> None:
    """A version is what the write made that it was acknowledged to."""
    by = world.made[key, version["version"]]
    wrote = world.wrote.get(by, {"delete": True})
    assert version["deleted"] == ("delete" in wrote)
    if "value" in wrote and not version["escaped"]:
        assert version["value"] == wrote["value"]


@pytest.fixture
async def server(
    cast: Cast, base_settings: Settings, recorder: RequestRecorder
) -> AsyncIterator[Server]:
    found = Server(base_settings, recorder, cast.owner.id)
    await found.restart()
    yield found
    await found.stack.aclose()


@given(plan=plans)
@settings(
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_clients_end_with_what_the_server_has_and_each_write_happened_once(
    cast: Cast, server: Server, plan: tuple[list[Any], set[int]]
) -> None:
    world = World(server, f"model{next(RUNS)}")
    await cast.admin.put(f"/v1/apps/{world.app}", json={"history": 50})
    clients = [Client(world) for _ in range(CLIENTS)]
    taken, restarts = plan
    for number, (who, step) in enumerate(taken):
        if number in restarts:
            await server.restart()
        await send_again(clients, number)
        await act(world, clients[who], step, number)
    await end(world, clients)
    await check(world, clients)
