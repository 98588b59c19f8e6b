"""Apps with queries, and their tasks."""

from datetime import timedelta
from typing import Any, Final

from app.app_data.jobs import handlers
from app.app_data.query_building import BUILD_JOB
from app.jobs import claim_now, perform
from app.jobs.periodic import ensure_periodic
from app.settings import Settings
from models.app import App
from models.base import now
from models.job import Job
from tests.cast import Cast
from tests.harness import Caller

APP: Final = "/v1/apps/notes"

DATA: Final = "/v1/users/me/apps/notes/data"

BY_DUE: Final = {
    "prefix": "task:",
    "by": [{"pointer": "/due"}, {"pointer": "/prio", "order": "desc"}],
}

BY_PRIO: Final = {"by": [{"pointer": "/prio", "order": "desc"}]}

DECLARED: Final = {"queries": {"byDue": BY_DUE, "byPrio": BY_PRIO}}

TASKS: Final = {
    "task:b": {"due": "2026-01-02", "prio": 1},
    "task:a": {"due": "2026-01-02", "prio": 1},
    "task:c": {"due": "2026-01-02", "prio": 2},
    "task:d": {"due": "2026-01-01"},
    "task:e": {"due": None, "prio": 7},
    "task:f": {"due": 5, "prio": "high"},
    "task:g": "none",
}

IN_ORDER: Final = ["task:e", "task:g", "task:f", "task:d", "task:c", "task:a", "task:b"]


async def declare(cast: Cast, settings: dict[str, Any] = DECLARED) -> None:
    answer = await cast.admin.put(APP, json=settings)
    assert answer.status_code in (200, 201), answer.text


async def build(settings: Settings, *, waited: bool = True) -> Job:
    """What the worker does, long after the settings were put."""
    if waited:
        long_ago = {"$set": {"queriesChangedAt": now() - timedelta(hours=1)}}
        await App.raw().update_one(
            {"_id": "notes", "queriesChangedAt": {"$exists": True}}, long_ago
        )
    await ensure_periodic(BUILD_JOB, BUILD_JOB, 300)
    held = await claim_now(BUILD_JOB)
    assert held is not None
    await perform(held, handlers(settings)[BUILD_JOB])
    job = await Job.find_by_id(BUILD_JOB)
    assert job is not None
    assert job.last_error is None
    return job


async def fill(caller: Caller, values: dict[str, Any] = TASKS) -> None:
    for key, value in values.items():
        assert (await caller.put(f"{DATA}/{key}", json=value)).status_code in (200, 201)


async def asked(caller: Caller, query: str = "byDue", **params: Any) -> list[str]:
    answer = await caller.get(DATA, params={"query": query, **params})
    assert answer.status_code == 200, answer.text
    return [item["dataKey"] for item in answer.json()["items"]]


async def refused(caller: Caller, **params: Any) -> tuple[int, str, str]:
    body = (await caller.get(DATA, params=params)).json()
    return body["status"], body["code"], body.get("errors", [{"pointer": ""}])[0]["pointer"]
