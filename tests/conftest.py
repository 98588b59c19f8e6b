"""One real mongod for the whole run, a clean database for each test, and the fixed cast of
callers."""

import gc
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis.internal.conjecture import engine
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

import app.database
from app.database import bind, connect
from app.settings import Settings
from indexes import sync
from scripts.mongod import start_mongod
from tests import reuse
from tests.cast import Cast, Programme, enrol, programme_of
from tests.explain import offences
from tests.filled import fill
from tests.harness import Api, RequestRecorder, serve
from tests.order import spread
from tests.outside import hosts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Raw = dict[str, Any]
NOWHERE = "http://127.0.0.1:9"  # so that no test reaches for the internet

# A property that fails is made small in under a minute; by itself Hypothesis takes five. There is
# no deadline: how long an example takes says how busy the machine is.
engine.MAX_SHRINKING_SECONDS = 40  # type: ignore[misc]
hypothesis.settings.register_profile(
    "bounded",
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    report_multiple_bugs=False,
)
hypothesis.settings.load_profile("bounded")

app.database.init_beanie = reuse.bind_documents  # type: ignore[attr-defined, assignment]

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a shell's background jobs have it, and so do their children
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, give the long files out in good time."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = spread(items)


def pytest_collection_finish() -> None:
    """Leave out of garbage collection what lasts as long as the run: half a gigabyte of modules and
    tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for the whole run."""
    return tmp_path_factory.mktemp("satchel")


@pytest.fixture(scope="session")
def mongodb_uri(data_dir: Path) -> Iterator[str]:
    """A replica set that obeys `failCommand`."""
    parameters = (
        "enableTestCommands=1",
        "ttlMonitorEnabled=false",
    )  # what has expired stays until a test looks at it
    extra = [part for parameter in parameters for part in ("--setParameter", parameter)]
    with start_mongod(data_dir, extra=tuple(extra), cache_gb=0.5) as mongod:
        yield mongod.uri


@pytest.fixture(scope="session")
def base_settings(mongodb_uri: str, data_dir: Path) -> Settings:
    """What every test runs with, unless it says otherwise."""
    return Settings(
        _env_file=None,
        mongodb_uri=mongodb_uri,
        data_dir=data_dir,
        database=f"test_{secrets.token_hex(4)}",
        deletion_fence_seconds=0,
        event_stream_seconds=0.2,
        teller_url=NOWHERE,
        **hosts.at(NOWHERE),
        log_level="error",
        log_requests=True,
    )


@pytest.fixture(scope="session")
async def client(base_settings: Settings, mongodb_uri: str) -> AsyncIterator[AsyncMongoClient[Raw]]:
    """A client like a script's."""
    async with connect(base_settings, mongodb_uri, bounded=False) as client:
        yield client


@pytest.fixture(scope="session")
async def _indexed(client: AsyncMongoClient[Raw], base_settings: Settings) -> AsyncDatabase[Raw]:
    database = await bind(client, base_settings)
    await sync.apply(database, await sync.plan(database))
    return database


@pytest.fixture
async def database(
    client: AsyncMongoClient[Raw], _indexed: AsyncDatabase[Raw], base_settings: Settings
) -> AsyncDatabase[Raw]:
    """A database with every index and no document, bound to the document classes."""
    await reuse.clear(_indexed)
    shutil.rmtree(base_settings.data_dir / "ledger", ignore_errors=True)  # it knows of what was
    return await bind(client, base_settings)


@pytest.fixture
async def empty_database(
    client: AsyncMongoClient[Raw], base_settings: Settings
) -> AsyncIterator[AsyncDatabase[Raw]]:
    """A bound database without collections or indexes, dropped after the test."""
    own = base_settings.model_copy(update={"database": f"empty_{secrets.token_hex(4)}"})
    database = await bind(client, own)
    yield database
    await client.drop_database(database.name)
    await bind(client, base_settings)


MakeApi = Callable[..., Awaitable[Api]]


@pytest.fixture(scope="session")
async def recorder(base_settings: Settings, mongodb_uri: str) -> AsyncIterator[RequestRecorder]:
    """What the requests of all tests send; in the end each shape of query is explained (guarantee
    7)."""
    recorder = RequestRecorder()
    yield recorder
    own = base_settings.model_copy(update={"database": f"explain_{secrets.token_hex(4)}"})
    async with connect(
        own, mongodb_uri, bounded=False
    ) as client:  # the session's may not have run for minutes
        database = await bind(client, own)
        await sync.apply(database, await sync.plan(database))
        await fill(database)
        found = await offences(database, recorder)
        await sync.apply(database, await sync.plan(database, lean=True), prune=True)
        found += [f"lean: {offence}" for offence in await offences(database, recorder)]
        await client.drop_database(database.name)
    assert recorder.commands
    assert found == [], "\n".join(found)


@pytest.fixture
async def make_api(
    database: AsyncDatabase[Raw],
    base_settings: Settings,
    client: AsyncMongoClient[Raw],
    recorder: RequestRecorder,
) -> AsyncIterator[MakeApi]:
    """Makes an application with settings of its own, in this process."""
    stack = []

    async def make(**changes: Any) -> Api:
        context = serve(base_settings.model_copy(update=changes), recorder)
        stack.append(context)
        return await context.__aenter__()

    yield make
    for context in reversed(stack):
        await context.__aexit__(None, None, None)
    await bind(client, base_settings)


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    """The application, called without a socket in between."""
    return await make_api()


@pytest.fixture
async def cast(api: Api) -> Cast:
    """The fixed cast: admin, owner, stranger, the owner bound to one app, keys."""
    return await enrol(api)


@pytest.fixture
async def programme(api: Api, cast: Cast) -> Programme:
    """Two accounts, their users, spending profiles and a card."""
    return await programme_of(api, cast.admin)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a service that speaks S3, on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
