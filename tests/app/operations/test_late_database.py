"""A database that comes after the server: the server is up, says that it is not ready, and serves
when it can."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from scripts.migrate import take_steps
from scripts.mongod import end_with_starter
from tests.app.faults import Cable
from tests.conftest import MakeApi

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def uri_at(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


async def test_a_server_without_database_answers_503_until_there_is_one(
    make_api: MakeApi, mongodb_uri: str, database: AsyncDatabase[Any]
) -> None:
    port = free_port()
    api = await make_api(
        mongodb_uri=SecretStr(uri_at(port)), request_timeout_ms=300, pool_min_size=0
    )
    nobody, user = api.caller(None), api.token("f" * 24)
    for path in ("/livez", "/metrics", "/docs", "/.well-known/jwks.json"):
        assert (await nobody.get(path)).status_code == 200
    refused = [
        await nobody.get("/readyz"),
        await user.get("/v1/users/me"),
        await user.get("/v1/users/me/apps/notes/data/k"),
        await user.put("/v1/users/me/apps/notes/data/k", json=1),
        await user.post("/v1/analytics/events", json=[]),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    await take_steps(database)
    cable = Cable(mongodb_uri)
    await cable.connect(port)
    async with asyncio.timeout(30):
        while (ready := await nobody.get("/readyz")).status_code == 503:
            await asyncio.sleep(0.05)
    assert ready.json()["status"] == "ready"
    assert (await user.get("/v1/users/me")).status_code == 404
    await cable.cut()


async def test_a_worker_waits_for_its_database(
    mongodb_uri: str, client: AsyncMongoClient[Any], tmp_path: Path
) -> None:
    port, metrics_port, database = free_port(), free_port(), "late_worker"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")},
        "SATCHEL_MONGODB_URI": uri_at(port),
        "SATCHEL_DATABASE": database,
        "SATCHEL_DATA_DIR": str(tmp_path),
        "SATCHEL_REQUEST_TIMEOUT_MS": "300",
        "SATCHEL_WORKER_METRICS_PORT": str(metrics_port),
    }
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "scripts", "worker"],
            env=environment,
            cwd=ROOT,
            stderr=log,
            preexec_fn=end_with_starter(),  # noqa: PLW1509  # as `scripts run` starts it
        )
    cable = Cable(mongodb_uri)
    try:
        async with asyncio.timeout(60):
            while b"cannot be reached" not in (tmp_path / "log").read_bytes():
                assert worker.poll() is None
                await asyncio.sleep(0.05)
            assert "satchel_late_swept_documents_total 0.0" in await _metrics(metrics_port)
            await cable.connect(port)
            while b"worker started" not in (tmp_path / "log").read_bytes():
                assert worker.poll() is None
                await asyncio.sleep(0.05)
            while (
                'satchel_job_seconds_count{kind="late-sweeps",outcome="done"}'
                not in await _metrics(metrics_port)
            ):
                await asyncio.sleep(0.05)
            assert await client[database]["jobs"].count_documents({"kind": "late-sweeps"}) == 1
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 30) == 0
    finally:
        worker.kill()
        worker.wait()
        await cable.cut()
        await client.drop_database(database)


async def _metrics(port: int) -> str:
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"http://127.0.0.1:{port}/metrics")).text
