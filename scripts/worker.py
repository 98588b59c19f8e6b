"""`python -m scripts worker`: runs the jobs, in a process and a pool of its own."""

import asyncio
import signal

from app.database import bind, connect
from app.jobs import work
from app.observability import configure_logging, log
from app.relations import table
from app.settings import Settings, load_settings
from app.work import ensure_jobs, handlers
from scripts.target import resolve_uri


async def _run(settings: Settings) -> None:
    client = connect(settings, resolve_uri(settings), bounded=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with client:
        await bind(client, settings)
        await ensure_jobs()
        log.info("worker started")
        await work(handlers(settings), stop, settings.worker_poll_seconds)
    log.info("worker stopped")


def main() -> None:
    """Run jobs until SIGINT or SIGTERM; the one in hand is finished."""
    table.check()
    settings = load_settings()
    configure_logging(settings)
    asyncio.run(_run(settings))
