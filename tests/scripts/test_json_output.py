"""Every command with `--json` prints JSON, whatever the database holds."""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.settings import Settings
from indexes import sync
from models import Activity
from models.user import User
from scripts.cli import COMMANDS
from tests.cast import Cast

ROOT = Path(__file__).parents[2]
CASES = {
    "integrity check": 1,
    "indexes plan": 0,
    "indexes verify": 1,
    "indexes stats": 0,
    "data stats": 0,
    "ledger compact": 0,
}
"""Each command, and how it exits where something is amiss."""
ELSEWHERE = {"bench", "bench-analytics", "bench-archive", "bench-overload", "bench-soak"}
ELSEWHERE |= {"users import"}
"""They take a database of their own, tests/scripts/test_bench.py, or a file:
tests/app/people/test_files.py."""


def with_json() -> set[str]:
    """Every command of every command line that takes `--json`."""
    found = set()
    for name, (target, _) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, typer.Typer):
            group = typer.main.get_command(command)
            named = {
                f"{name} {sub}": found for sub, found in getattr(group, "commands", {}).items()
            }
        else:
            single = typer.Typer()
            single.command()(command)
            named = {name: typer.main.get_command(single)}
        found |= {
            each
            for each, one in named.items()
            if any("--json" in option.opts for option in one.params)
        }
    return found


def test_every_command_with_json_is_tried() -> None:
    assert with_json() == CASES.keys() | ELSEWHERE


async def run(settings: Settings, command: str) -> "subprocess.CompletedProcess[str]":
    uri = settings.mongodb_uri.get_secret_value() if settings.mongodb_uri else ""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")
    }
    environment |= {"SATCHEL_MONGODB_URI": uri, "SATCHEL_DATABASE": settings.database}
    line = [sys.executable, "-m", "scripts", *command.split(), "--json"]
    return await asyncio.to_thread(
        subprocess.run,
        line,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", CASES)
async def test_what_is_amiss_is_told_in_json(
    command: str, cast: Cast, database: AsyncDatabase[Any], base_settings: Settings
) -> None:
    lost = ObjectId()
    await Activity(user_id=lost, app_id="notes", event_type="lost").add()
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json=1)
    await User.raw().drop_index("email_1")
    try:
        done = await run(base_settings, command)
    finally:
        await sync.apply(database, await sync.plan(database))
    assert done.returncode == CASES[command], done.stderr
    found = json.loads(done.stdout)
    assert found
    if command == "integrity check":
        samples = [sample for scan in found for sample in scan["samples"]]
        assert [sample["parentId"] for sample in samples] == [str(lost)]


async def test_nothing_amiss_is_told_in_json_too(
    database: AsyncDatabase[Any], base_settings: Settings
) -> None:
    done = await run(base_settings, "integrity check")
    assert done.returncode == 0, done.stderr
    assert all(
        scan["state"] == "done" and scan["samples"] == [] for scan in json.loads(done.stdout)
    )


async def test_admins_see_over_http_what_the_check_found(
    cast: Cast, base_settings: Settings
) -> None:
    lost = ObjectId()
    await Activity(user_id=lost, app_id="notes", event_type="lost").add()
    await run(base_settings, "integrity check")
    scans = (await cast.admin.get("/v1/admin/integrity")).json()["scans"]
    assert [sample["parentId"] for scan in scans for sample in scan["samples"]] == [str(lost)]
