"""Runs `clients/scenarios.json` by the Python client, the one that waits and the one that awaits
alike."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from satchel_client import (
    AsyncSession,
    AsyncStore,
    InMemory,
    Json,
    MergeConflict,
    Missing,
    Refusal,
    Session,
    Store,
    UnsentWork,
    Unstorable,
    equal,
    merge_fields,
)

from tests.clients.desk import APP, SMALL, code_for, invite, restart, token_for
from tests.clients.wires import AsyncWire, Network, Wire
from tests.serving import ROOT, Served

SCENARIOS: list[dict[str, Any]] = json.loads((ROOT / "clients" / "scenarios.json").read_text())
_PATIENCE = 30


def _deep(levels: int) -> Json:
    return [_deep(levels - 1)] if levels > 1 else []


VALUES: dict[str, Json] = {
    "large": "ä" * (256 * 1024),
    "deep": _deep(65),
    "integer": 2**63,
    "infinite": [float("inf")],
    "surrogate": {"a": "\ud800"},
    "nul": {"a": {"\0": 1}},
    "small": 1,
}
"""Values that are too much to stand in the scenarios, by their names there."""


class Device:
    """One device. What differs between the two clients is in `run`."""

    session: Session | AsyncSession
    store: Store | AsyncStore

    def __init__(self, served: Served, folder: Path | None, app_id: str = APP) -> None:
        self.served, self.folder, self.app_id = served, folder, app_id
        self.network, self.tokens = Network(), InMemory()
        self.conflicts: list[str] = []
        self.refused: list[str] = []
        self.renewed_from: str | None = None
        self.connect()

    def connect(self) -> None:
        self.session = Session(
            self.served.url, self.tokens, renew=self.renew, transport=Wire(self.network)
        )

    def renew(self) -> Any:
        """Another token from the app's own server, which most have not."""
        return None

    def open(self) -> None:
        self.store = Store(self.session, self.app_id, **self.options())  # type: ignore[arg-type]
        self.store.start()

    def options(self) -> dict[str, Any]:
        return {"on_conflict": self.decide, "on_refused": self._note, "folder": self.folder}

    def decide(
        self, base: Json | Missing, mine: Json | Missing, theirs: Json | Missing, key: str
    ) -> Json | Missing:
        self.conflicts.append(key)
        return merge_fields(base, mine, theirs)

    def _note(self, refusal: Refusal) -> None:
        self.refused.append(refusal.key)

    async def done(self, made: Any) -> Any:
        """What a call of the client gave, awaited by the one that awaits."""
        return made

    async def pause(self) -> None:
        time.sleep(0.05)  # the client that waits has threads

    async def sign_in(self, email: str) -> None:
        challenge = await self.done(self.session.request_code(email=email))
        await self.done(self.session.sign_in(challenge, code_for(self.served, email)))
        self.open()

    async def begin_as_guest(self) -> None:
        await self.done(self.session.begin_as_guest())
        self.open()

    async def sign_in_as_guest(self, email: str) -> str | None:
        """Sign in as whom the guest is or becomes, without sending what waits; what has become of
        them."""
        user_id = self.session.user_id
        challenge = await self.done(self.session.request_code(email=email))
        signed_in = await self.done(self.session.sign_in(challenge, code_for(self.served, email)))
        if signed_in.user_id != user_id:
            self.open()
        return signed_in.guest and str(signed_in.guest.state)

    def enter(self, email: str) -> None:
        self.session.begin(token_for(self.served, email))
        self.open()

    async def restart(self) -> None:
        await self.close()
        self.connect()
        self.open()

    async def unsent_at_sign_out(self) -> int:
        try:
            await self.done(self.session.sign_out())
        except UnsentWork as error:
            return error.count
        return 0

    def end_token(self) -> None:
        kept = json.loads(self.tokens.get() or "{}")
        self.tokens.set(json.dumps(kept | {"access": kept["access"][:-8] + "AAAAAAAA"}))

    def take_foreign_cursor(self) -> None:
        kept = json.loads(self.tokens.get() or "{}")
        headers = {"Authorization": f"Bearer {kept['access']}"}
        path = f"{self.served.url}/v1/users/me/apps/{self.app_id}/changes"
        self.network.foreign = httpx2.get(
            path, params={"prefix": "nothing"}, headers=headers
        ).json()["cursor"]

    def contents(self) -> dict[str, Json]:
        return {entry.key: entry.value for entry in self.store.list()}

    async def close(self) -> None:
        if hasattr(self, "store"):
            await self.done(self.store.close())
        await self.done(self.session.close())


class AsyncDevice(Device):
    def connect(self) -> None:
        self.session = AsyncSession(
            self.served.url, self.tokens, renew=self.renew, transport=AsyncWire(self.network)
        )

    def open(self) -> None:
        self.store = AsyncStore(self.session, self.app_id, **self.options())  # type: ignore[arg-type]
        self.store.start()

    async def done(self, made: Any) -> Any:
        return await made

    async def pause(self) -> None:
        await asyncio.sleep(0.05)


async def run(
    scenario: Mapping[str, Any], served: Served, folder: Path, make: type[Device]
) -> None:
    """Run one scenario; what fails names its step."""
    salt = uuid4().hex[:8]
    people = {"first": f"first.{salt}@example.com", "another": f"another.{salt}@example.com"}
    persistent = folder if scenario.get("persistent") else None
    app_id = SMALL if scenario.get("app") == "small" else APP
    devices = {"a": make(served, persistent, app_id), "b": make(served, None, app_id)}
    await _begin(devices, people["first"], scenario.get("guest"))
    try:
        for place, step in enumerate(scenario["steps"]):
            try:
                await _take(step, devices, people)
            except Exception as error:
                raise AssertionError(f"step {place + 1} {json.dumps(step)}: {error!r}") from error
    finally:
        for device in devices.values():
            await device.close()


async def _begin(devices: Mapping[str, Device], email: str, guest: str | None) -> None:
    if guest is None:
        await devices["a"].sign_in(email)
    else:
        await devices["a"].begin_as_guest()
    if guest == "known":
        invite(devices["b"].served, email)
    if guest != "new":
        devices["b"].enter(email)


async def _take(
    step: Mapping[str, Any], devices: Mapping[str, Device], people: Mapping[str, str]
) -> None:
    if "sync" in step:
        for name in step["sync"]:
            await _eventually(devices[name], devices[name].store.flush)
        return
    device = devices[step["on"]]
    ((what, given),) = ((name, value) for name, value in step.items() if name != "on")
    await _do(device, what, given, people)


async def _do(device: Device, what: str, given: Any, people: Mapping[str, str]) -> None:
    if what == "enter":  # nobody had a store until now
        device.enter(people[given])
        return
    store, network = device.store, device.network
    match what:
        case "put" | "patch":
            getattr(store, what)(*given)
        case "delete":
            store.delete(given)
        case "edits":
            for edit in range(given[1]):
                store.put(given[0], {"edit": edit + 1})
        case "fill":
            for place in range(given):
                store.put(f"k{place}", {"place": place})
        case "withoutValues":
            network.stripping = given
        case "proxyPages":
            network.pages = given
        case "offline":
            network.is_offline = given
        case "loseAnswers":
            network.losing = given
        case "oldCursor":
            device.take_foreign_cursor()
        case "clock":
            pass  # the client never asks what time it is: a test of its own says so
        case "restart":
            await device.restart()
        case "endToken":
            device.end_token()
        case "noStreams":
            network.has_streams = not given
        case "cutStream":
            network.cut()
        case "endStream":
            device.renewed_from = device.tokens.get()
            network.cut(given)
        case "restartServer":
            restart(device.served)
        case "trySync":
            with suppress(Exception):  # that it fails is the point
                await device.done(store.flush())
        case "signOut":
            await device.done(device.session.sign_out())
        case "signIn":
            await device.sign_in(people[given])
        case "signInAsGuest":
            assert await device.sign_in_as_guest(people[given[0]]) == given[1]
        case "mergeGuest":
            await device.done(device.session.merge_guest(given))
        case _:
            await _see(device, what, given)


async def _see(device: Device, what: str, given: Any) -> None:
    store = device.store
    match what:
        case "expect":
            assert equal(device.contents(), given), device.contents()
        case "await":
            await _eventually(device, lambda: _same(device, given))
        case "expectPending":
            assert store.pending == given
        case "expectCount":
            assert len(store.list()) == given
        case "expectConflicts":
            assert sorted(set(device.conflicts)) == given
        case "expectMergeConflict":
            with pytest.raises(MergeConflict) as conflict:
                await device.done(device.session.merge_guest())
            assert conflict.value.conflicts
        case "expectRefused":
            assert device.refused == given
        case "expectVersionAtMost":
            assert 1 <= store.list(given[0])[0].version <= given[1]
        case "expectUnstorable":
            key, what, code = given
            with pytest.raises(Unstorable) as refused:
                store.put(key, VALUES[what])
            assert refused.value.errors[0]["code"] == code
        case "awaitStreams":
            await _eventually(device, lambda: _holds_that(device.network.streams >= given))
        case "awaitRenewed":
            await _eventually(
                device, lambda: _holds_that(device.tokens.get() != device.renewed_from)
            )
        case "expectUnsentAtSignOut":
            assert await device.unsent_at_sign_out() == given
        case _:
            raise AssertionError(f"there is no step {what}")


def _holds_that(condition: bool) -> None:
    assert condition


def _same(device: Device, wanted: Json) -> Any:
    assert equal(device.contents(), wanted), device.contents()
    return None


async def _eventually(device: Device, look: Callable[[], Any]) -> None:
    end = time.monotonic() + _PATIENCE
    while not await _holds(look, last=time.monotonic() > end):
        await device.pause()


async def _holds(look: Callable[[], Any], *, last: bool) -> bool:
    try:
        made = look()
        if made is not None:
            await made
    except Exception:
        if last:
            raise
        return False
    return True
