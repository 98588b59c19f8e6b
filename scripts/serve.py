"""`python -m scripts serve`: the HTTP server alone, as a deployment runs it beside its own
MongoDB."""

import asyncio
import gc
import importlib
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from app.settings import Settings, load_settings
from scripts.target import NoTargetError

if TYPE_CHECKING:
    from fastapi import FastAPI

APPLICATION = "app.main"
FACTORY = "scripts.serve:application"
HTTP = "app.web.admission.pauses:PatientProtocol"
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_KNOCK_MS = 500
_READY_SECONDS = 60
_FILES = 65_536
_COLLECTED = (5_000, 20, 20)
"""New objects until the youngest are searched for cycles, and how many such searches until the next
older ones are."""


def serve(
    uri_from_stdin: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Serve on SATCHEL_HOST and SATCHEL_PORT, by SATCHEL_PROCESSES processes, until SIGTERM.

    `/readyz` answers 503 for SATCHEL_SHUTDOWN_DELAY_SECONDS then, and requests in flight get
    SATCHEL_SHUTDOWN_GRACE_SECONDS. SIGHUP replaces several processes one by one.
    """
    with shared_metrics(), suppress(KeyboardInterrupt):
        if uri_from_stdin:
            _import_and_wait_for_uri()
        settings = load_settings()
        if settings.repository_hosts:  # before there are processes that are started again
            importlib.import_module("app.repositories.hosts.registry").check_hosts(settings)
        if settings.mongodb_uri is not None and not uri_from_stdin:
            asyncio.run(_knock(settings.mongodb_uri.get_secret_value()))
        raise_file_limit()
        _serve(settings)


def _serve(settings: Settings) -> None:
    # heavy, and not needed by `--help`
    import uvicorn  # noqa: PLC0415

    from scripts.processes import serve_alone, serve_together  # noqa: PLC0415

    config = uvicorn.Config(
        FACTORY,
        factory=True,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        http=HTTP,
        access_log=False,  # the application logs its requests itself, with more in them
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
        workers=settings.processes,
        timeout_worker_healthcheck=_READY_SECONDS,
    )
    serve_by = serve_alone if settings.processes == 1 else serve_together
    serve_by(config, settings.shutdown_delay_seconds)


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Have the processes that are started within measure together, in files that are gone
    afterwards.

    To be entered before anything that measures is imported.
    """
    if load_settings().processes == 1:
        yield
        return
    with TemporaryDirectory(prefix="satchel-metrics-") as folder:
        os.environ[_METRICS] = folder
        try:
            yield
        finally:
            del os.environ[_METRICS]


def application() -> "FastAPI":
    """The application, in a process that does nothing else: what its start made is there until its
    end.

    So the collector of cycles is told not to look at it again, and to look seldom: nearly
    everything that a request makes is freed without it.

    Raises:
        NoTargetError: there is no database to serve.
    """
    if load_settings().mongodb_uri is None:
        raise NoTargetError(
            "SATCHEL_MONGODB_URI is not set: `make run` embeds a database and sets it."
        )
    from scripts.processes import note_leaving  # noqa: PLC0415  # the factory of a server

    app: FastAPI = importlib.import_module(APPLICATION).create_app()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED)
    note_leaving(app)
    return app


def raise_file_limit() -> None:
    """Let this process have as many connections as the system allows, at most 65,536; 1024 are a
    shell's usual limit.

    Where it is reached, no connection is taken any more, a probe's neither.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _knock(uri: str) -> None:
    """See that the database lets us in; one that does not answer may do so later, and the server
    waits for it.

    Raises:
        pymongo.errors.OperationFailure: it refuses user or password.
        pymongo.errors.ConfigurationError: the connection string is malformed.
    """
    from pymongo import AsyncMongoClient  # noqa: PLC0415  # as above
    from pymongo.errors import ConnectionFailure  # noqa: PLC0415

    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        uri, serverSelectionTimeoutMS=_KNOCK_MS
    )
    async with client:
        with suppress(ConnectionFailure):
            await client.admin.command("ping")


def _import_and_wait_for_uri() -> None:
    """Import everything while `scripts run` brings the database up, and read where it is.

    Raises:
        typer.Exit: the starter has gone and there will be none.
    """
    importlib.import_module(APPLICATION)
    uri = sys.stdin.readline().strip()
    if not uri:
        raise typer.Exit(1)
    os.environ["SATCHEL_MONGODB_URI"] = uri
    load_settings.cache_clear()
