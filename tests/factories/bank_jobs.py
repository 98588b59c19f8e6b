"""The worker's jobs around bank connections."""

from app.jobs import run_one
from app.work import ensure_jobs, handlers
from tests.app.connections.conftest import World


async def run_jobs(world: World) -> None:
    await ensure_jobs()
    while await run_one(handlers(world.api.settings)):
        pass
