"""One clock, the database's: a process whose machine's clock is wrong does what the others do, and
says so."""

import os
import re
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import floor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.hello import Hello
from pymongo.monitoring import ServerHeartbeatStartedEvent, ServerHeartbeatSucceededEvent

from app.database import connect
from app.database.clock import DatabaseClock
from app.jobs import claim
from app.jobs.periodic import pull_in
from app.settings import Settings
from models.base import now
from models.clock import Clock, steady
from models.job import Job
from tests.serving import Served, served

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
faked = pytest.mark.skipif(
    LIBRARY is None, reason="libfaketime is not installed (make test installs it)"
)
SKEWS = {"ahead": ["+30s"], "behind": ["-1h"], "jumping": ["+1d", "-1h", "+30s"]}


def test_the_clock_is_the_systems_until_it_is_measured() -> None:
    clock = Clock()
    assert (clock.is_measured, round(clock.ahead(), 3)) == (False, 0)
    assert abs(clock.time() - time.time()) < 1


TRIPS = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=20)


@given(TRIPS, st.floats(-1e9, 1e9))
def test_the_clock_is_never_further_off_than_an_answer_took(
    trips: list[tuple[float, float]], zero: float
) -> None:
    """`trips`: seconds on the way there and back. The database's clock reads `zero` plus the steady
    one."""
    clock, moment = Clock(), 1000.0
    for there, back in trips:
        asked, read, answered = moment, moment + there, moment + there + back
        clock.measured(floor((zero + read) * 1000) / 1000, asked, answered)
        moment = answered + 10
    assert clock._zero is not None
    assert abs(clock._zero - zero) <= max(there + back for there, back in trips) + 0.01
    clock.measured(zero + moment, moment, moment)
    assert (
        abs(clock._zero - zero) <= 0.002
    )  # a quick answer is believed, whatever the slow ones said


def test_a_database_whose_clock_was_set_is_followed() -> None:
    clock = Clock()
    clock.measured(5000.0, 10, 10)
    clock.measured(8600.0, 20, 20)
    assert clock._zero is not None
    assert abs(clock._zero - 8580) < 0.01


@pytest.mark.parametrize("jump", [86_400, -3600], ids=["ahead", "back"])
def test_a_machine_whose_clock_is_set_meanwhile_goes_on_by_the_databases(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, machines = Clock(), time.time
    theirs = machines() + 50
    clock.measured(theirs, steady(), steady())
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: machines() + jump)
        assert (abs(clock.time() - theirs) < 10, abs(clock.ahead() - jump + 50) < 10) == (
            True,
            True,
        )


async def test_the_drivers_heartbeats_tell_the_time(
    base_settings: Settings, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("app.database.clock.CLOCK", clock)
    async with connect(base_settings, mongodb_uri) as client:
        await client.admin.command("ping")
    assert clock.is_measured
    assert abs(clock.ahead()) < 5


TOLD = datetime(2030, 1, 1)  # as the driver decodes it: UTC


@pytest.mark.parametrize(
    ("reply", "awaited", "believed"),
    [
        ({"isWritablePrimary": True, "localTime": TOLD}, False, True),
        ({"isWritablePrimary": False, "secondary": True, "localTime": TOLD}, False, False),
        ({"isWritablePrimary": True, "localTime": TOLD}, True, False),
        ({"isWritablePrimary": True}, False, False),
    ],
    ids=["primary", "secondary", "held back", "without"],
)
def test_only_the_primary_is_believed_and_only_an_answer_that_was_not_held_back(
    reply: dict[str, Any], awaited: bool, believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, reader, member = Clock(), DatabaseClock(), ("db", 27017)
    monkeypatch.setattr("app.database.clock.CLOCK", clock)
    reader.started(ServerHeartbeatStartedEvent(member, awaited))
    reader.succeeded(
        ServerHeartbeatSucceededEvent(
            0.01, Hello({"ok": 1, "setName": "rs0", **reply}), member, awaited
        )
    )
    assert clock.is_measured is believed
    if believed:
        assert abs(clock.time() - TOLD.replace(tzinfo=UTC).timestamp()) < 5


@pytest.mark.usefixtures("database")
async def test_a_periodic_job_that_lies_further_ahead_than_its_period_is_pulled_in() -> None:
    day, moment = timedelta(days=1), now()
    rows = {
        "stuck": {"run_at": moment + day, "every_seconds": 60},
        "leased": {"run_at": moment, "every_seconds": 60, "leased_until": moment + day},
        "failing": {"run_at": moment + timedelta(minutes=9), "every_seconds": 5},
        "daily": {"run_at": moment + timedelta(hours=23), "every_seconds": 86_400},
        "once": {"run_at": moment + day},
    }
    for name, fields in rows.items():
        await Job.raw().insert_one(Job(id=name, kind="k", **fields).stored())
    await pull_in()
    held = [claimed.job.id for _ in rows if (claimed := await claim(["k"])) is not None]
    assert sorted(map(str, held)) == ["leased", "stuck"]


def fake(skew: str, file: Path | None = None) -> dict[str, str]:
    """The environment of a process whose machine's clock is wrong by this much, or by what a file
    says from then on."""
    faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    if file is None:
        return faked | {"FAKETIME": skew}
    file.write_text(skew)
    return faked | {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)


@pytest.fixture
def satchel(mongodb_uri: str, tmp_path: Path) -> Iterator[Served]:
    with served(
        mongodb_uri, tmp_path, worker_poll_seconds="0.05", analytics_trail_seconds="1"
    ) as found:
        yield found


@faked
@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_a_worker_whose_clock_is_wrong_counts_every_event_and_ends_no_value_early(
    skew: list[str], satchel: Served, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    with httpx2.Client(base_url=satchel.url, headers=satchel.headers) as admin:
        user = admin.post("/v1/users", json={"name": "Ann"}).json()["id"]
        path = f"/v1/users/{user}/apps/notes/data"
        assert admin.put(f"{path}/kept", json=1, params={"ttl": 1800}).status_code == 201
        assert admin.put(f"{path}/gone", json=1, params={"ttl": 1}).status_code == 201
        satchel.environment |= fake(skew[0], clock if len(skew) > 1 else None)
        satchel.start("worker")
        event = {"appId": "shop", "eventName": "bought", "eventCategory": "conversion"}
        for number in range(30):
            if number % (30 // len(skew)) == 0 and number:
                until(lambda number=number: _rolled_up(satchel) == number)
                clock.write_text(skew[number * len(skew) // 30])
            assert admin.post("/v1/analytics/events", json=event).is_success
            time.sleep(0.1)
        until(lambda: _rolled_up(satchel) == 30)
        until(lambda: satchel.database["appdata"].count_documents({"deleted": True}) == 1)
        assert (
            admin.get("/v1/analytics/event-counts", params={"appId": "shop"}).json()[0]["count"]
            == 30
        )
        assert (admin.get(f"{path}/kept").status_code, admin.get(f"{path}/gone").status_code) == (
            200,
            404,
        )
    measured = timedelta(
        seconds=5
    )  # what a measurement may be off by, where the database took long to answer
    state = satchel.database["rollupstate"].find_one()
    assert state["asOf"] <= datetime.now(UTC) + measured
    for job in satchel.database["jobs"].find({"everySeconds": {"$ne": None}}):
        assert (
            job["runAt"] <= datetime.now(UTC) + timedelta(seconds=job["everySeconds"]) + measured
        ), job["_id"]
    assert re.search(r"clock differs from the database", satchel.log.read_text())


def _rolled_up(satchel: Served) -> int:
    days = satchel.database["countdays"].find({"appId": "shop"})
    return sum(sum(array("i", day["counts"])) for day in days)


@faked
@pytest.mark.parametrize("skew", ["+1d", "-1d"])
def test_a_server_whose_clock_is_wrong_says_so_and_lives_in_the_databases_time(
    skew: str, mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(mongodb_uri, tmp_path) as right:
        environment = dict(right.environment)
        right.environment |= fake(skew)
        with right.another() as wrong:
            right.environment.clear()
            right.environment |= environment
            ahead = httpx2.get(f"{wrong.url}/readyz").json()["clockAheadSeconds"]
            assert abs(abs(ahead) - 86_400) < 5
            metrics = httpx2.get(f"{wrong.url}/metrics").text
            assert re.search(r"^satchel_clock_ahead_seconds -?86[34]\d\d", metrics, re.M)
            with httpx2.Client(headers=right.headers) as admin:
                user = admin.post(f"{wrong.url}/v1/users", json={"name": "Ann"}).json()
                assert abs(
                    datetime.fromisoformat(user["createdAt"]) - datetime.now(UTC)
                ) < timedelta(minutes=1)
                minted = admin.post(f"{wrong.url}/v1/users/{user['id']}/sessions", json={}).json()[
                    "accessToken"
                ]
            for server in (right, wrong):
                answer = httpx2.get(
                    f"{server.url}/v1/users/me", headers={"Authorization": f"Bearer {minted}"}
                )
                assert answer.status_code == 200, answer.text
    assert "SATCHEL_PORT" not in os.environ
