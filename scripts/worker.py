"""`python -m scripts worker`: runs the jobs, in a process and a pool of its own."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from prometheus_client import start_http_server

from app import VERSION
from app.database import bind_in_time, connect
from app.database.driver import Client
from app.relations import table
from app.repositories.hosts.registry import check_hosts
from app.settings import Settings, load_settings
from app.web.observability import configure_logging, log
from app.web.observability.driver import listeners_of
from app.web.observability.measures import note_build
from app.work import ensure_jobs, work
from scripts.target import resolve_uri


async def _run(settings: Settings) -> None:
    listeners = listeners_of(settings)
    client = connect(settings, resolve_uri(settings), bounded=False, listeners=listeners)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with client:
        await _until_first(_begin(client, settings), stop)
        if not stop.is_set():
            log.info("worker started")
            await work(settings, stop)
    log.info("worker stopped")


async def _begin(client: Client, settings: Settings) -> None:
    await bind_in_time(client, settings)
    await ensure_jobs()


async def _until_first(begin: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Wait for the database, or for a signal that comes first."""
    beginning, stopped = asyncio.create_task(begin), asyncio.create_task(stop.wait())
    await asyncio.wait({beginning, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if beginning.done():
        beginning.result()
    else:
        beginning.cancel()


def _show_metrics(port: int, host: str) -> None:
    """Answer `/metrics`, in a thread; a port that is taken keeps no job from being done."""
    try:
        start_http_server(port, host)
    except OSError as error:
        log.error("no metrics are shown", port=port, error=str(error))


def main() -> None:
    """Run jobs until SIGINT or SIGTERM; the one in hand is finished."""
    table.check()
    settings = load_settings()
    check_hosts(settings)
    configure_logging(settings)
    note_build(VERSION)
    if settings.worker_metrics_port is not None:
        _show_metrics(settings.worker_metrics_port, settings.host)
    asyncio.run(_run(settings))
