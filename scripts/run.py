"""`python -m scripts run`: a whole Satchel from one command, and its orderly end."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from app.settings import Settings, load_settings
from app.settings.faults import SettingsError
from app.settings.private_files import replace
from scripts.address import AddressError, check_address, is_satchel, reachable
from scripts.children import Child
from scripts.data_folder import DataFolder, FolderError
from scripts.mongod import PR_SET_PDEATHSIG, Embedded, MongodError, find_mongod, start_mongod
from scripts.target import URI_FILE, NoTargetError, reason, resolve_uri, without_password

if TYPE_CHECKING:
    from scripts.admin_key import AdminKey

READY_SECONDS: Final = 60
_WATCH_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.02
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CannotRunError(Exception):
    """Satchel cannot start, or cannot go on; the message says why."""


@dataclass(slots=True)
class Running:
    """What has been started so far, so that whatever happens exactly that is stopped.

    `published` is true once the database's address stands in the data folder.
    """

    settings: Settings
    folder: DataFolder | None = None
    database: Embedded | None = None
    server: Child | None = None
    worker: Child | None = None
    published: bool = False
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def children(self) -> list[Child]:
        """Server and worker, as far as they are started."""
        return [child for child in (self.server, self.worker) if child is not None]

    def start_child(self, name: str, *arguments: str) -> Child:
        """Start one of our commands. JSON logs go to a file; logs for people go to the terminal."""
        log = self.settings.data_dir / f"{name}.log" if self.settings.log_format == "json" else None
        return Child.start(name, arguments, environment=self.environment, log=log)

    def stop(self) -> None:
        """Stop the server (its requests finish), then the worker, then the database.

        Without a database there is nothing to finish, so then server and worker end at once.
        """
        if self.database is not None and self.database.process.poll() is not None:
            self.hurry()
        for child in self.children:
            child.stop(self.settings.shutdown_grace_seconds + 5)
        if self.published:
            (self.settings.data_dir / URI_FILE).unlink(missing_ok=True)
        if self.database is not None:
            self.database.stop()
        if self.folder is not None:
            self.folder.release()

    def hurry(self) -> None:
        """End server and worker by force; the database still closes its files."""
        for child in self.children:
            child.process.kill()


def run(
    end_with_caller: Annotated[
        bool, typer.Option(help="Stop when the calling process ends, even by kill -9.")
    ] = False,
) -> None:
    """Start database, server and worker, and stop them on Ctrl-C or SIGTERM. Exits 1 when one of
    them fails."""
    if end_with_caller and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    try:
        running = Running(load_settings())
    except SettingsError as error:
        _fail(str(error))
    _handle_signals(running)
    try:
        start(running)
        watch(running)
    except KeyboardInterrupt:
        print("\nStopping: requests in flight, worker, database ...", flush=True)
    except (AddressError, CannotRunError, FolderError, MongodError, NoTargetError) as error:
        _repeat_alarms(running)
        _fail(str(error))
    finally:
        running.stop()


def start(running: Running) -> None:
    """Bring everything up: the server imports its modules while an embedded database starts and its
    indexes are made.

    Nothing is written before the data folder is ours; where the database is not, nothing before it
    has answered.

    Raises:
        AddressError: the server will not be able to listen.
        FolderError: another Satchel runs with the data folder, or it cannot be made.
        MongodError: the embedded database does not start.
        NoTargetError: the connection string is malformed.
        CannotRunError: another part did not come up.
    """
    settings = running.settings
    check_address(settings.host, settings.port)
    if settings.mongodb_uri is None:
        mongod = find_mongod(settings.mongod)
        running.folder = DataFolder.take(settings.data_dir)
        running.server = running.start_child("server", "serve", "--uri-from-stdin")
        running.database = start_mongod(settings.data_dir, binary=mongod)
        uri = running.database.uri
        key = asyncio.run(_prepare(settings, uri))
    else:
        uri = resolve_uri(settings)
        running.folder = DataFolder.take(settings.data_dir)
        key = asyncio.run(_prepare(settings, uri))
        running.server = running.start_child("server", "serve", "--uri-from-stdin")
    running.published = True
    replace(settings.data_dir / URI_FILE, f"{uri}\n".encode())
    running.server.tell(uri)
    _wait_until_served(running)
    running.environment["SATCHEL_MONGODB_URI"] = uri
    running.worker = running.start_child("worker", "worker")
    _welcome(settings, uri, key)


def watch(running: Running) -> NoReturn:
    """Repeat warnings and errors on the terminal for as long as every part runs.

    Raises:
        CannotRunError: a part has ended.
        KeyboardInterrupt: Ctrl-C, or SIGTERM.
    """
    while True:
        time.sleep(_WATCH_SECONDS)
        _repeat_alarms(running)
        _check_alive(running)


async def _prepare(settings: Settings, uri: str) -> "AdminKey | None":
    """Create the indexes that are missing, migrate and, in development, see to the admin key."""
    # these take half of the start, best while mongod starts
    from pymongo.errors import PyMongoError  # noqa: PLC0415

    from app.migrations.step import StepRefused  # noqa: PLC0415
    from indexes.duplicates import DuplicatesFound  # noqa: PLC0415
    from indexes.sync import apply, plan  # noqa: PLC0415
    from scripts.admin_key import KEY_FILE, ensure_admin_key  # noqa: PLC0415
    from scripts.migrate import Busy, take_steps  # noqa: PLC0415
    from scripts.target import opened  # noqa: PLC0415

    try:
        async with opened(settings, uri=uri) as database:
            await apply(database, await plan(database, lean=settings.lean_indexes))
            await take_steps(database)
            if settings.environment == "production":
                return None
            return await ensure_admin_key(settings.data_dir / KEY_FILE)
    except DuplicatesFound as error:
        raise CannotRunError(f"A unique index cannot be made. {error}") from None
    except (StepRefused, Busy) as error:
        raise CannotRunError(f"The data cannot be brought up to this version. {error}") from None
    except PyMongoError as error:
        raise CannotRunError(
            f"MongoDB at {without_password(uri)} cannot be used: {reason(error)}"
        ) from None


def _wait_until_served(running: Running) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_satchel(running.settings.host, running.settings.port):
        _check_alive(running)
        if time.monotonic() > deadline:
            raise CannotRunError(f"The server did not answer within {READY_SECONDS} s.")
        time.sleep(_POLL_SECONDS)


def _check_alive(running: Running) -> None:
    for child in running.children:
        if (code := child.process.poll()) is not None:
            where = f" Its log: {child.log}" if child.log else ""
            raise CannotRunError(f"The {child.name} ended by itself (code {code}).{where}")
    if running.database is not None and (code := running.database.process.poll()) is not None:
        raise CannotRunError(
            f"The database ended by itself (code {code}). Its log: {running.database.log}"
        )


def _repeat_alarms(running: Running) -> None:
    for child in running.children:
        for line in child.alarms():
            print(f"{child.name}: {line}", file=sys.stderr, flush=True)


def _welcome(settings: Settings, uri: str, key: "AdminKey | None") -> None:
    from rich.console import Console  # noqa: PLC0415  # not before the first request is answered

    console = Console(highlight=False, soft_wrap=True, markup=False)
    url = f"http://{reachable(settings.host)}:{settings.port}"
    console.print(f"Satchel runs at {url}", style="bold green")
    console.print(f"  API docs   {url}/docs")
    console.print(f"  console    {url}/console")
    console.print(
        f"  database   {without_password(uri)}{'' if settings.mongodb_uri else ' (embedded)'}"
    )
    if key is not None:
        console.print(f"  admin key  {settings.data_dir / 'admin-key'}")
        if key.reason:
            console.print(f"             {key.secret}  (new: {key.reason})", style="bold")
    if settings.log_format == "json":
        console.print(
            f"  logs       {settings.data_dir}/*.log; warnings and errors appear here too"
        )
    console.print("Ctrl-C stops it; the data stays.")


def _handle_signals(running: Running) -> None:
    """The first Ctrl-C or SIGTERM asks everything to stop, the second one does not wait for
    requests."""

    def hurry(_signal: int, _frame: FrameType | None) -> None:
        running.hurry()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for signum in _STOPS:
            signal.signal(signum, hurry)
        raise KeyboardInterrupt

    for signum in _STOPS:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(signum, stop)


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(1)
