"""The rows that a start and `/readyz` go by, damaged outside of Satchel: the server is up and says
which row it is, and once that is mended it is ready."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.migrations import pending
from app.recovery.restored import finish_restore
from app.relations.delete import sweep_again
from app.web.etags import load_epoch
from app.work import HOOKS
from models.base import Raw, now
from models.deployment import Deployment
from models.migration import Migration
from scripts.cli import _told
from scripts.migrate import take_steps
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.damage import DAMAGE, MISSING, damaged
from tests.factories.deletions import ledger_of
from tests.harness import Api

ROW: Raw = {"_id": "deployment", "epochName": "e" * 16, "epochNumber": 3, "ledgerAt": 5}
TIMES = ("createdAt", "updatedAt", "version")
SOUND = {"epochName": {"text"}, "epochNumber": {"missing", "null", "number"}}
SOUND["ledgerAt"] = SOUND["epochNumber"]
"""What is no damage, or cannot be told from none."""


def damages() -> Iterator[tuple[str, str]]:
    for field in ("epochName", "epochNumber", "ledgerAt"):
        for kind in DAMAGE:
            if kind not in SOUND[field]:
                yield field, kind


async def plant(row: Raw) -> None:
    await Deployment.raw().replace_one({"_id": row["_id"]}, row, upsert=True)


async def test_a_damaged_epoch_is_not_ready_and_named_until_another_one_begins(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    await take_steps(database)
    wrong = []
    for field, kind in damages():
        await plant(damaged(ROW, (field,), kind) or {})
        answer, told = await cast.nobody.get("/readyz"), "`deployment` of `deployments` is damaged"
        number = await Deployment.begin_epoch(least=2)
        mended = await cast.nobody.get("/readyz")
        if (answer.status_code, number >= 2, mended.status_code) != (503, True, 200):
            wrong.append((field, kind, answer.text, number, mended.text))
        elif answer.json()["code"] != "unavailable" or told not in answer.json()["detail"]:
            wrong.append((field, kind, answer.text))
    assert wrong == []


@pytest.mark.parametrize("kind", DAMAGE)
async def test_what_nobody_reads_of_it_keeps_no_server_from_being_ready(
    kind: str, database: AsyncDatabase[Any]
) -> None:
    odd = {} if DAMAGE[kind] is MISSING else dict.fromkeys(TIMES, DAMAGE[kind])
    await plant({**ROW, **odd})
    assert (await Deployment.epoch(), await Deployment.position()) == ("e" * 16, (3, 5))
    assert await Deployment.next_number() == (3, 6)
    assert await Deployment.begin_epoch(ledger_at=9) == 4
    assert await Deployment.position() == (4, 9)


async def test_a_number_that_a_shell_has_written_is_one(database: AsyncDatabase[Any]) -> None:
    await plant({**ROW, "epochNumber": 3.0, "ledgerAt": 5.0})
    assert await Deployment.position() == (3, 5)
    assert await Deployment.begin_epoch() == 4


async def test_a_server_that_finds_a_damaged_epoch_is_up_and_serves_once_it_is_mended(
    make_api: MakeApi, database: AsyncDatabase[Any]
) -> None:
    await take_steps(database)
    await plant({"_id": "deployment"})
    api = await make_api(request_timeout_ms=300)
    nobody, user = api.caller(None), api.token("f" * 24)
    assert (await nobody.get("/livez")).status_code == 200
    for path in ("/readyz", "/v1/users/me"):
        answer = await user.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "`deployment` of `deployments` is damaged" in answer.json()["detail"]
    report = await finish_restore(api.settings, HOOKS)
    assert report.epoch >= 2
    async with asyncio.timeout(30):
        while (await nobody.get("/readyz")).status_code == 503:
            await asyncio.sleep(0.05)
    assert (await user.get("/v1/users/me")).status_code == 404


async def test_receipts_wait_while_the_epoch_is_damaged(api: Api, cast: Cast) -> None:
    await plant({**ROW, "ledgerAt": "x"})
    owner = ObjectId(cast.owner.id)
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
    assert not (await ledger_of(owner)).final
    await Deployment.begin_epoch()
    await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
    assert (await ledger_of(owner)).final


@pytest.mark.parametrize("kind", DAMAGE)
async def test_a_step_was_taken_whatever_else_its_row_holds(
    kind: str, database: AsyncDatabase[Any]
) -> None:
    await take_steps(database)
    fields = ("appliedAt", "changed", *TIMES)
    bad: Any = {"$unset": dict.fromkeys(fields, "")}
    if DAMAGE[kind] is not MISSING:
        bad = {"$set": dict.fromkeys(fields, DAMAGE[kind])}
    await Migration.raw().update_many({}, bad)
    assert (await pending(), await take_steps(database)) == ([], [])


async def test_a_command_that_meets_a_damaged_row_says_which(
    database: AsyncDatabase[Any],
) -> None:
    await plant({"_id": "deployment", "createdAt": now()})
    with pytest.raises(ValueError, match="deployments: deployment") as caught:
        await load_epoch()
    assert _told(caught.value) == (
        "A row was damaged outside of Satchel, and cannot be read: deployments: deployment"
    )
