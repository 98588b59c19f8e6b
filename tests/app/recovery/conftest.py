"""Commands in processes of their own, on the database of a test, and what a backup of it has."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from app.settings import Settings

ROOT = Path(__file__).parents[3]
Command = Callable[..., str]
Raw = dict[str, Any]


@pytest.fixture
def command(base_settings: Settings, mongodb_uri: str) -> Command:
    """`command("backup", target)`; `killed_at=(place, n)` has it killed there."""

    def run(
        *arguments: str, database: str, killed_at: tuple[str, int] | None = None, code: int = 0
    ) -> str:
        program = ["-m", "scripts"]
        if killed_at is not None:
            program = ["-m", "tests.app.recovery.killed", killed_at[0], str(killed_at[1])]
        own = {key: value for key, value in os.environ.items() if not key.startswith("SATCHEL_")}
        own |= {
            "SATCHEL_MONGODB_URI": mongodb_uri,
            "SATCHEL_DATABASE": database,
            "SATCHEL_DATA_DIR": str(base_settings.data_dir),
            "SATCHEL_DELETION_FENCE_SECONDS": "0",
        }
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            env=own,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        expected = -signal.SIGKILL if killed_at is not None else code
        assert done.returncode == expected, (done.returncode, done.stdout, done.stderr[-2000:])
        return done.stdout + done.stderr

    return run


class Snapshot:
    """What a backup of the database has."""

    def __init__(self, database: AsyncDatabase[Raw]) -> None:
        self._database, self._rows = database, dict[str, list[Raw]]()

    async def take(self) -> "Snapshot":
        for name in await self._database.list_collection_names():
            self._rows[name] = await self._database[name].find({}).to_list()
        return self

    async def put_back(self) -> None:
        for name in await self._database.list_collection_names():
            await self._database[name].delete_many({})
            if rows := self._rows.get(name):
                await self._database[name].insert_many(rows)
