"""Satchel's own user of its database: all that production does works by its rights, and by none
less."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from app.database import bind, connect
from app.recovery.restore import _names
from app.settings import Settings
from indexes import stats, sync
from models import User
from scripts.database_role import OF_DATABASE, OF_SERVER, ROLE, lacking, privileges
from scripts.database_user import script
from scripts.mongod import start_mongod
from tests.serving import ROOT, Served, served

NAME, PASSWORD = "satchel", "p@ss/word"
NOT_ALLOWED = 13


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A MongoDB that lets nobody in without a password: its address, and that of its
    administrator."""
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text("a2V5T2ZUaGVNZW1iZXJzT2ZUaGVTZXQ=")
    key.chmod(0o600)
    with (
        start_mongod(folder / "data", cache_gb=0.25) as mongod,
        MongoClient[Any](mongod.uri) as client,
    ):
        client.admin.command("createUser", "root", pwd="root", roles=["root"])
    with start_mongod(folder / "data", cache_gb=0.25, extra=("--keyFile", str(key))) as mongod:
        hosts = mongod.uri.removeprefix("mongodb://")
        yield hosts, f"mongodb://root:root@{hosts}"


def of_satchel(hosts: str) -> str:
    return f"mongodb://{NAME}:{quote(PASSWORD, safe='')}@{hosts}&authSource=admin"


def command(environment: dict[str, str], *arguments: str, told: str = "", code: int = 0) -> str:
    """What a command says."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("SATCHEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "scripts", *arguments],
        env=own | environment,
        cwd=ROOT,
        input=told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def satchel(guarded: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server and a worker that have the rights of the role alone."""
    hosts, administrator = guarded
    folder = tmp_path_factory.mktemp("served")

    def prepare(database: str) -> str:
        environment = {"SATCHEL_MONGODB_URI": of_satchel(hosts), "SATCHEL_DATABASE": database}
        for said in ("made", "there"):
            told = command(
                environment, "database-user", "--admin-uri-from-stdin", told=administrator
            )
            assert told == f"satchel of admin is {said}, with the role satchel alone\n"
        return of_satchel(hosts)

    with served(administrator, folder, as_user=prepare) as found:
        found.start("worker")
        yield found


def test_the_user_has_its_role_and_no_other(satchel: Served) -> None:
    [user] = satchel.database.client.admin.command("usersInfo", NAME)["users"]
    assert user["roles"] == [{"role": ROLE, "db": "admin"}]
    with MongoClient[Any](satchel.environment["SATCHEL_MONGODB_URI"]) as own:
        for forbidden in (
            lambda: own["another"]["users"].find_one({}),
            lambda: own.admin.command("createUser", "x", pwd="x", roles=[]),
            lambda: own.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1),
            lambda: own.drop_database(satchel.database.name),
        ):
            with pytest.raises(OperationFailure) as refused:
                forbidden()
            assert refused.value.code == NOT_ALLOWED


def test_server_worker_and_streams_work(satchel: Served) -> None:
    """The demo writes by every room's routes; nothing of it is refused for want of a right."""
    satchel.post("/v1/users", {"email": "a@example.com", "name": "A"})
    (Path(satchel.environment["SATCHEL_DATA_DIR"]) / "admin-key").write_text(satchel.admin)
    command(satchel.environment, "demo", "--users", "10", "--days", "5")
    for path in ("indexes", "integrity", "relations", "jobs"):
        satchel.get(f"/v1/admin/{path}")
    users = satchel.get("/v1/users", limit=5)["items"]
    gone = httpx2.delete(
        f"{satchel.url}/v1/users/{users[0]['id']}", headers=satchel.headers, timeout=30
    )
    assert gone.status_code in (200, 202, 204), gone.text
    assert httpx2.get(f"{satchel.url}/readyz").status_code == 200
    log = satchel.log.read_text()
    assert "not authorized" not in log
    assert "cannot be read: taken for" not in log  # the parameter of the server


@pytest.mark.parametrize(
    "line",
    [
        "check-database",
        "indexes apply --replace --prune",
        "indexes verify",
        "indexes stats --profile 0.1",
        "migrate",
        "integrity check",
        "cleanup",
        "keyring status",
        "data stats",
        "archive list",
    ],
)
def test_commands_work(satchel: Served, line: str) -> None:
    said = command(satchel.environment, *line.split())
    assert "not authorized" not in said
    assert "may do more" not in said


def test_a_backup_is_made_and_restored(satchel: Served, tmp_path: Path) -> None:
    place = str(tmp_path / "backup")
    command(satchel.environment, "backup", place)
    satchel.stop("worker")
    satchel.stop()
    command(satchel.environment, "restore", place, "--replace")
    satchel.start()
    satchel.start("worker")
    assert satchel.get("/v1/users", limit=5)["items"]


def test_root_is_told_that_it_is_more_than_is_needed(
    satchel: Served, guarded: tuple[str, str]
) -> None:
    as_root = satchel.environment | {"SATCHEL_MONGODB_URI": guarded[1]}
    assert "may do more than Satchel needs" in command(as_root, "check-database")


def test_an_administrator_does_not_take_its_own_rights_away(
    satchel: Served, guarded: tuple[str, str]
) -> None:
    as_root = satchel.environment | {"SATCHEL_MONGODB_URI": guarded[1]}
    said = command(as_root, "database-user", "--admin-uri-from-stdin", told=guarded[1], code=1)
    assert "root is the administrator" in said


def test_the_script_for_mongosh_has_the_rights_and_no_password() -> None:
    settings = Settings(_env_file=None, mongodb_uri=of_satchel("h/?replicaSet=x"), database="d")
    said = script(settings)
    assert all(f'"{action}"' in said for action in [*OF_DATABASE, *OF_SERVER])
    assert '"satchel"' in said and '"db": "d"' in said and "p@ss" not in said and "p%40" not in said


async def _drops(database: AsyncDatabase[Any]) -> None:
    await database.drop_collection("probe")


async def _streams(database: AsyncDatabase[Any]) -> None:
    async with await database.watch(max_await_time_ms=1):
        pass


async def _of_the_clock(database: AsyncDatabase[Any]) -> None:
    await database.client.admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})


NEEDED: dict[str, Callable[[AsyncDatabase[Any]], Awaitable[Any]]] = {
    "find": lambda database: User.raw().find_one({}),
    "insert": lambda database: User.raw().insert_one({"email": "b@example.com"}),
    "update": lambda database: User.raw().update_one({}, {"$set": {"name": "B"}}),
    "remove": lambda database: User.raw().delete_one({"email": "nobody"}),
    "changeStream": _streams,
    "listCollections": _names,
    "listIndexes": sync.missing,
    "createIndex": lambda database: User.raw().create_index("probe"),
    "dropIndex": lambda database: User.raw().drop_index("status_1__id_1"),
    "collMod": lambda database: database.command(
        "collMod", "users", index={"name": "_id_", "hidden": False}
    ),
    "indexStats": stats.usage,
    "collStats": stats.usage,
    "enableProfiler": lambda database: database.command("profile", 1),
    "dbStats": lambda database: database.command("dbStats"),
    "dropCollection": _drops,
    "getParameter": _of_the_clock,
}
"""What each right is for; without it this is refused."""


@pytest.mark.parametrize("action", [*OF_DATABASE, *OF_SERVER])
async def test_no_right_is_more_than_is_needed(
    satchel: Served, guarded: tuple[str, str], action: str
) -> None:
    admin, name = satchel.database.client.admin, satchel.database.name
    whole = privileges(name)
    less = [
        {**each, "actions": [own for own in each["actions"] if own != action]} for each in whole
    ]
    less = [each for each in less if each["actions"]]
    settings = Settings(_env_file=None, database=name, data_dir=Path("/nowhere"))
    async with connect(
        settings, satchel.environment["SATCHEL_MONGODB_URI"], bounded=False
    ) as client:
        database = await bind(client, settings)
        admin.command("updateRole", ROLE, privileges=less)
        try:
            with pytest.raises(OperationFailure) as refused:
                await NEEDED[action](database)
            assert refused.value.code == NOT_ALLOWED
            status = await database.command("connectionStatus", showPrivileges=True)
            assert lacking(status, name) == [action, action][: 2 if action == "find" else 1]
        finally:
            admin.command("updateRole", ROLE, privileges=whole)
