"""Steps in one millisecond: they are in the order in which they were sent, within a request and
across requests."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.analytics.ingest.ids import EventIds
from app.analytics.ingest.incoming import checked, rows_of, split
from app.analytics.query.reader import View
from models.base import now, rfc3339
from tests.app.analytics.truth import plainly
from tests.cast import Cast
from tests.harness import Api, Caller

AT = datetime(2026, 10, 24, 12, tzinfo=UTC)
SPAN = {"from": rfc3339(AT - timedelta(hours=1)), "to": rfc3339(AT + timedelta(hours=1))}
SPELT = [("apply", "buy"), ("buy", "apply"), ("Buy", "apply"), ("step 10", "step 9"), ("é", "z")]
"""Names in their own order, and against it."""
ORDERS: dict[str, Any] = {
    "eventName": lambda row: row["eventName"],
    "timestamp": lambda row: row["timestamp"],
    "newest first": lambda row: -int(str(row["_id"]), 16),
    "none": lambda row: hash(row["_id"]),
}
"""Orders in which events come from the database, by the index that the planner takes."""


def event(name: str, person: str = "a-1", at: str = rfc3339(AT)) -> dict[str, Any]:
    return {
        "appId": "notes",
        "eventName": name,
        "eventCategory": "custom",
        "anonymousId": person,
        "timestamp": at,
    }


async def send(caller: Caller, *events: Any) -> None:
    answer = await caller.post("/v1/analytics/events", json=list(events))
    assert answer.json()["accepted"] == len(events), answer.text


async def reached(caller: Caller, *steps: str, **more: Any) -> list[int]:
    answer = await caller.get("/v1/analytics/funnel", params={**SPAN, "step": list(steps), **more})
    assert answer.status_code == 200, answer.text
    return [row["users"] for row in answer.json()]


@pytest.mark.parametrize(
    "narrowed", [{}, {"appId": "notes"}, {"eventCategory": "custom"}], ids=["any", "app", "kind"]
)
@pytest.mark.parametrize("apart", [False, True], ids=["one request", "two requests"])
@pytest.mark.parametrize("steps", SPELT, ids="-".join)
async def test_two_steps_in_one_millisecond_are_as_they_were_sent(
    cast: Cast, steps: tuple[str, str], apart: bool, narrowed: Any
) -> None:
    first, second = event(steps[0]), event(steps[1])
    for request in [[first], [second]] if apart else [[first, second]]:
        await send(cast.admin, *request)
    assert await reached(cast.admin, *steps, **narrowed) == [1, 1]
    assert await reached(cast.admin, *reversed(steps), **narrowed) == [1, 0]


@pytest.mark.parametrize("steps", SPELT, ids="-".join)
async def test_a_users_steps_are_so_too(cast: Cast, steps: tuple[str, str]) -> None:
    sent = [
        {name: each[name] for name in each if name != "anonymousId"} for each in map(event, steps)
    ]
    await send(cast.owner, *sent)
    assert await reached(cast.owner, *steps) == [1, 1]
    assert await reached(cast.owner, *reversed(steps)) == [1, 0]


@pytest.mark.parametrize(
    "spelt",
    [
        ("2026-10-24T12:00:00.000999Z", "2026-10-24T12:00:00.000001Z"),
        ("2026-10-24T14:00:00+02:00", "2026-10-24T12:00:00Z"),
        ("1792843200000", "2026-10-24T12:00:00Z"),
    ],
    ids=["microseconds", "offset", "epoch"],
)
async def test_a_millisecond_is_one_however_its_time_is_spelt(
    api: Api, cast: Cast, spelt: tuple[Any, Any]
) -> None:
    key = await api.key("events:write", app_id="notes")
    batch = [
        {"type": "track", "event": name, "anonymousId": "a-1", "timestamp": at, "messageId": name}
        for name, at in zip(("zeta", "alpha"), spelt, strict=True)
    ]
    assert (await key.post("/v1/batch", json={"batch": batch})).status_code == 200
    assert await reached(cast.admin, "zeta", "alpha") == [1, 1]
    assert await reached(cast.admin, "alpha", "zeta") == [1, 0]


@pytest.mark.parametrize("first", [0, 0xFFFFFD, 0xFFFFFE, 0xFFFFFF, 0x1000000])
def test_the_counter_may_begin_anew_within_a_request(first: int) -> None:
    ids = EventIds(first)
    good, _ = split(checked([event("b"), event("a"), event("c")]))
    rows = rows_of(good, AT, ids)
    assert [row["eventName"] for row in sorted(rows, key=lambda row: row["_id"])] == ["b", "a", "c"]
    assert not {row["_id"] for row in rows} & {*ids.ascending(3)}


def test_ids_of_events_are_no_other_process_s_and_tell_when_they_were_made() -> None:
    before = now() - timedelta(seconds=1)
    one, other = EventIds(7).ascending(2), EventIds(7).ascending(2)
    assert one[0].binary[-3:] == other[0].binary[-3:]
    assert not {*one} & {*other}
    assert all(before <= each.generation_time <= now() for each in one + other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_random_histories_are_recounted_whatever_index_is_taken(
    cast: Cast, order: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    told: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for _ in range(8):
        request = []
        for _ in range(chance.randrange(1, 9)):
            name, person, ms = (
                chance.choice("cab"),
                chance.choice(["a-1", "a-2", "a-3", "a-4"]),
                chance.randrange(3),
            )
            request.append(event(name, person, rfc3339(AT + timedelta(milliseconds=ms))))
            told[person].append((ms, name))
        await send(cast.admin, *request)
    for times in told.values():
        times.sort(
            key=lambda each: each[0]
        )  # a stable sort: those of one millisecond stay as they were sent
    raw_rows = View.raw_rows

    async def by_index(*args: Any) -> Any:
        return sorted(await raw_rows(*args), key=order)

    monkeypatch.setattr(View, "raw_rows", by_index)
    for steps in (["a", "b"], ["b", "a"], ["c", "a", "b"], ["a", "a", "c"], ["b", "c", "a", "b"]):
        tries = [len(plainly(times, steps, 3_600_000, 86_400_000)) for times in told.values()]
        expected = [sum(length > place for length in tries) for place in range(len(steps))]
        assert await reached(cast.admin, *steps) == expected, steps
