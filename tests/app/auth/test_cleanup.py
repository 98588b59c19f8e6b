"""The cleanup of sign-in: by the worker, by hand, and nothing expired is honoured before it."""

from datetime import timedelta

from app.jobs import claim
from app.settings import Settings
from app.work import ensure_jobs, handlers
from models import Job, PhoneOtp, RefreshToken
from models.base import now
from tests.app.auth.conftest import World


async def leavings(world: World) -> None:
    await world.by_token("google", "g-1")
    await world.by_token("google", "g-2")
    await world.challenge(phoneNumber="+14155550123")
    await RefreshToken.raw().update_one({}, {"$set": {"expiresAt": now() - timedelta(hours=1)}})
    await PhoneOtp.raw().update_one({}, {"$set": {"expiresAt": now() - timedelta(hours=1)}})


async def test_the_worker_cleans_up_and_says_when_it_did(
    world: World, base_settings: Settings
) -> None:
    await leavings(world)
    await ensure_jobs()
    await Job.raw().update_many(
        {"_id": {"$ne": "clean-up-sign-in"}}, {"$set": {"runAt": now() + timedelta(days=1)}}
    )
    held = await claim(["clean-up-sign-in"])
    assert held is not None
    await handlers(base_settings)["clean-up-sign-in"](held)
    await held.finish()
    assert (
        await RefreshToken.raw().count_documents({}),
        await PhoneOtp.raw().count_documents({}),
    ) == (1, 0)
    job = (await (await world.api.key("admin")).get("/v1/admin/jobs/clean-up-sign-in")).json()
    assert job["progress"] == {"codes": 1, "sessions": 1, "keySecrets": 0}
    assert job["lastRunAt"] is not None


async def test_the_command_cleans_up_by_hand(world: World, base_settings: Settings) -> None:
    import asyncio
    import os
    import sys

    await leavings(world)
    assert base_settings.mongodb_uri is not None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts", "cleanup"),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "SATCHEL_MONGODB_URI": base_settings.mongodb_uri.get_secret_value(),
            "SATCHEL_DATABASE": base_settings.database,
        },
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert said.decode().splitlines() == [
        "codes: 1 removed",
        "sessions: 1 removed",
        "keySecrets: 0 removed",
    ]
