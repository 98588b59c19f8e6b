"""Slow senders keep nobody else out, and whoever asks whether the server lives is always
answered."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from scripts.migrate import take_steps
from tests.app.faults import failing
from tests.conftest import MakeApi
from tests.harness import Api, Caller

JSON = {"Content-Type": "application/json"}
VALUE = "/v1/users/me/apps/notes/data/k"
EVENT = b'{"appId":"notes","eventName":"e","eventCategory":"custom"}'


class SlowBody:
    """A body whose first byte is there at once, and the rest when `rest` is set."""

    def __init__(self, body: bytes) -> None:
        self.begun, self.rest = asyncio.Event(), asyncio.Event()
        self._body = body

    async def parts(self) -> AsyncIterator[bytes]:
        yield self._body[:1]
        self.begun.set()
        await self.rest.wait()
        yield self._body[1:]


async def _user(api: Api) -> Caller:
    admin = await api.key("admin")
    return api.token((await admin.post("/v1/users", json={})).json()["id"])


def _send(user: Caller, path: str, body: SlowBody) -> asyncio.Task[Any]:
    method = "POST" if path.endswith("events") else "PUT"
    return asyncio.create_task(user.request(method, path, content=body.parts(), headers=JSON))


async def _begun(body: SlowBody) -> None:
    async with asyncio.timeout(10):
        await body.begun.wait()


async def test_bodies_on_their_way_take_no_place(make_api: MakeApi) -> None:
    api = await make_api(max_in_flight=2)
    user = await _user(api)
    bodies = {
        path: SlowBody(body) for path, body in ((VALUE, b"12"), ("/v1/users/me/profile", b"{}"))
    }
    bodies |= {VALUE + str(number): SlowBody(b"12") for number in range(6)}
    bodies["/v1/analytics/events"] = SlowBody(EVENT)
    sending = []
    for path, body in bodies.items():
        sending.append(_send(user, path, body))
        await _begun(body)
    assert (await user.get("/v1/users/me")).status_code == 200
    assert (await user.put(VALUE + "-other", json=1)).status_code == 201
    for (path, body), task in zip(bodies.items(), sending, strict=True):
        body.rest.set()
        assert (await task).is_success, path


@pytest.mark.parametrize("path", [VALUE, "/v1/users/me/profile", "/v1/analytics/events"])
async def test_a_body_that_does_not_come_is_408(make_api: MakeApi, path: str) -> None:
    api = await make_api(body_seconds=0.1, max_in_flight=2, max_bodies_under_way=2)
    user = await _user(api)
    for _ in range(3):
        answer = await _send(user, path, SlowBody(EVENT))
        assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
    assert (await user.put(VALUE, json=1)).status_code == 201


async def test_bodies_on_their_way_have_a_limit_of_their_own(make_api: MakeApi) -> None:
    api = await make_api(max_bodies_under_way=2)
    user = await _user(api)
    bodies = [SlowBody(b"12") for _ in range(2)]
    sending = [_send(user, f"{VALUE}{number}", body) for number, body in enumerate(bodies)]
    for body in bodies:
        await _begun(body)
    refused = await user.put(VALUE, json=1)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] in ("1", "2", "3")
    for body in bodies:
        body.rest.set()
    assert [(await task).status_code for task in sending] == [201, 201]
    assert (await user.put(VALUE, json=1)).status_code == 201


async def test_a_body_that_arrives_into_a_full_house_goes_before_those_who_wait(
    make_api: MakeApi, client: AsyncMongoClient[Any]
) -> None:
    api = await make_api(max_in_flight=1)
    await take_steps(client[api.settings.database])
    user = await _user(api)
    body = SlowBody(b"12")
    sending = _send(user, VALUE, body)
    await _begun(body)
    assert (
        await api.client.get("/readyz")
    ).status_code == 200  # from now on it finds nothing, so nothing holds it up
    done: list[str] = []
    async with failing(
        client, "find", "findAndModify", mode="alwaysOn", blockConnection=True, blockTimeMS=200
    ):
        reading = [asyncio.create_task(user.get("/v1/users/me")) for _ in range(4)]
        for name, task in (("body", sending), *(("reader", task) for task in reading)):
            task.add_done_callback(lambda _, name=name: done.append(name))
        await asyncio.sleep(0.05)
        body.rest.set()
        live, ready = await api.client.get("/livez"), await api.client.get("/readyz")
        answers = await asyncio.gather(*reading, sending)
    assert (live.status_code, ready.status_code) == (200, 200)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 201]
    assert done.index("body") <= 2
    assert (await user.put(VALUE, json=1)).status_code == 200


async def test_more_than_there_are_places_for_wait_and_are_served(
    make_api: MakeApi, client: AsyncMongoClient[Any]
) -> None:
    api = await make_api(max_in_flight=5)
    user = await _user(api)
    async with failing(client, "find", mode="alwaysOn", blockConnection=True, blockTimeMS=50):
        answers = await asyncio.gather(
            *(user.put(f"{VALUE}{number}", json=number) for number in range(30)),
            *(user.get("/v1/users/me") for _ in range(30)),
        )
    assert [answer.status_code for answer in answers] == [201] * 30 + [200] * 30
    assert [(await user.get(f"{VALUE}{number}")).json() for number in range(30)] == list(range(30))


@pytest.mark.parametrize(
    "bound", [{"max_waiting": 3}, {"wait_seconds": 0.05}], ids=["room", "time"]
)
async def test_whoever_waits_in_vain_is_refused(
    make_api: MakeApi, client: AsyncMongoClient[Any], bound: dict[str, Any]
) -> None:
    api = await make_api(max_in_flight=2, **bound)
    await take_steps(client[api.settings.database])
    user = await _user(api)
    assert (await user.get("/v1/users/me")).status_code == 200
    before = _counted(await api.client.get("/metrics"))
    async with failing(client, "find", mode="alwaysOn", blockConnection=True, blockTimeMS=300):
        asking = [asyncio.create_task(user.get("/v1/users/me")) for _ in range(20)]
        probes = [await api.client.get(path) for path in ("/livez", "/readyz", "/metrics")]
        answers = await asyncio.gather(*asking)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert len(refused) >= 10
    for answer in refused:
        assert (answer.json()["code"], answer.headers["content-type"]) == (
            "unavailable",
            "application/problem+json",
        )
        assert answer.headers["retry-after"] in ("1", "2", "3")
    assert [probe.status_code for probe in probes] == [200, 200, 200]
    assert _counted(await api.client.get("/metrics")) - before == len(refused)
    assert (await user.get("/v1/users/me")).status_code == 200


def _counted(metrics: Any) -> float:
    return float(re.search(r"^satchel_requests_refused_total (.*)$", metrics.text, re.MULTILINE)[1])  # type: ignore[index]
