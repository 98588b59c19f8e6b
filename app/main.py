"""The application: every router, every layer, what is made at the start and let go at the end."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener
from starlette.types import ASGIApp

from app import VERSION
from app.accounts.routes import router as accounts
from app.accounts.webhook_keys import load_webhook_keys
from app.activity.routes import router as activity
from app.analytics import routes as analytics
from app.analytics.ingest.intake import Intake
from app.analytics.join_routes import router as joins
from app.analytics.openapi import (
    ingest_operations,
    ingest_schemas,
    library_operations,
    segment_operations,
)
from app.analytics.quarantine_routes import router as quarantine
from app.analytics.query.known_sets import KnownSets
from app.app_data import routes as app_data
from app.app_data.clearing_routes import router as app_data_clearing
from app.app_data.history_routes import router as app_data_history
from app.app_data.openapi import value_operations
from app.app_data.quotas import Rooms
from app.app_data.swaps import Swaps
from app.apps.registry import AppRegistry
from app.apps.routes import router as apps
from app.auth import identity_routes, key_routes, session_routes, sign_in_routes
from app.auth.context import SignIn
from app.auth.identities import guest_routes
from app.auth.routes import router as auth
from app.cards.event_routes import router as card_events
from app.cards.profile_routes import router as spending_profiles
from app.cards.routes import router as cards
from app.connections.routes import router as connections
from app.console import feed as console_feed
from app.console import navigation
from app.console.dashboard import router as dashboard
from app.console.frame.problems import ProblemPages
from app.console.routes import router as console
from app.console.sign_in import router as console_sign_in
from app.database import UNREACHED, bind_in_time, connect
from app.database.driver import Client
from app.database.loader import Loader
from app.identity.access import Access, Rules
from app.identity.authenticator import Authenticator
from app.identity.tokens import load_tokens
from app.operations.routes import router as operations
from app.outside.keyring import load_keyring
from app.people.export_routes import router as people_out
from app.people.import_routes import IMPORT_PATH
from app.people.import_routes import router as people_in
from app.people.merge_routes import router as people_merge
from app.people.out.exporting import Exports
from app.relations import table
from app.relations.leases import Leases
from app.repositories.deliveries.reading import Room
from app.repositories.hosts.registry import check_hosts, large_paths
from app.repositories.invitation_routes import router as invitations
from app.repositories.repository_routes import router as repositories
from app.repositories.routes import router as projects
from app.settings import Settings, load_settings
from app.sync import routes as sync
from app.sync.batch_openapi import batch_operations
from app.sync.batch_routes import BATCH_PATH, batch_endpoint
from app.sync.hub import Hub
from app.sync.live.events import EVENTS_PATH
from app.sync.live.feed import Feed
from app.sync.openapi import changes_operations, events_operations
from app.sync.overlap import lifetime_to_overlap, overlap_of
from app.users.belonging_routes import router as belongings
from app.users.belongings import loaders
from app.users.routes import router as users
from app.web.admission.gate import Admission
from app.web.admission.proxies import Proxied
from app.web.hot import HotEndpoint, HotRoutes
from app.web.layers.compression import Compressed
from app.web.layers.cross_origin import CrossOrigin
from app.web.layers.head import Heads
from app.web.layers.hosts import Hosts
from app.web.observability import Observed, configure_logging, log
from app.web.observability.driver import listeners_of
from app.web.observability.measures import begin_at_nothing, note_build
from app.web.openapi import document as openapi
from app.web.problems import handle_errors, without_plain_errors
from app.web.routing import Router
from app.web.streams.open_streams import streams_of, waiting_room
from app.work import HOOKS
from models.app_data_values import load_values

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *(people_in, people_out, people_merge),
    *(users, belongings),
    activity,
    *(app_data.router, app_data_history, app_data_clearing),
    *(analytics.router, quarantine, joins),
    *(auth, guest_routes.router, sign_in_routes.router, session_routes.router),
    *(identity_routes.router, key_routes.router),
    apps,
    operations,
    *(console, dashboard, console_sign_in, *navigation.ROUTERS),
    *(accounts, cards, spending_profiles, card_events),
    connections,
    *(projects, invitations, repositories),
)
"""By domain. Of two routes that take the same path the first is called."""


def create_app(
    settings: Settings | None = None, listeners: Sequence[CommandListener] = ()
) -> FastAPI:
    """The application for these settings, those of the environment if None.

    Args:
        settings: of this application.
        listeners: further ones on the commands that it sends; the tests explain every query.

    Raises:
        RuntimeError: there is no MongoDB to connect to.
        RelationError: the table of relations cannot be kept.
        AccessError: a route has no access rule.
        SettingsError: a Git host of one's own is of a kind that has none.
    """
    settings = settings or load_settings()
    if settings.mongodb_uri is None:
        raise RuntimeError(
            "SATCHEL_MONGODB_URI is not set: `make run` embeds a database and sets it"
        )
    table.check()
    check_hosts(settings)
    configure_logging(settings)
    note_build(VERSION)
    begin_at_nothing()
    app = FastAPI(
        title="Satchel",
        version=VERSION,
        summary="Everything an app knows about a person, under one user.",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,  # the console has a page that loads nothing from elsewhere
        redoc_url=None,
        servers=[{"url": settings.url}],
    )
    app.state.settings = settings
    app.state.database = None  # until it answers
    app.state.waits_for = UNREACHED  # None from then on
    app.state.is_leaving = False  # until the process is told to stop
    app.state.listeners = (*listeners_of(settings), *listeners)
    app.state.authenticator = Authenticator(settings, load_tokens(settings))
    app.state.sign_in = SignIn(settings)
    app.state.leases = Leases(settings.lease_seconds)
    app.state.hooks = HOOKS
    app.state.rooms = Rooms()
    app.state.exports = Exports()
    app.state.values = Loader(load_values, settings.request_timeout_ms / 1000)
    app.state.belongings = loaders(settings.request_timeout_ms / 1000)
    app.state.swaps = Swaps(app.state.leases, settings.request_timeout_ms / 1000)
    app.state.keyring = load_keyring(settings)
    app.state.apps = AppRegistry(settings)
    app.state.hub = Hub()
    app.state.known_sets = KnownSets()
    app.state.console_feed = console_feed.Feed()
    app.state.feed = Feed(settings, app.state.hub)
    app.state.streams = streams_of(settings)
    app.state.waiting_polls = waiting_room(settings)
    app.state.overlap = lifetime_to_overlap(60)  # until the database tells
    app.state.intake = Intake(settings, app.state.leases, app.state.apps)
    app.state.webhook_keys = load_webhook_keys(settings)
    app.state.delivery_room = Room(settings.large_deliveries_mib * 1024 * 1024)
    app.state.console_entries = navigation.ENTRIES
    for router in ROUTERS:
        app.include_router(router)
    app.state.rules = Rules(declared_rules(), _operations())
    handle_errors(app, ROUTERS)
    _add_layers(app, settings)
    app.openapi = lambda: openapi.describe(app, app.state.rules, _hot_paths(), ingest_schemas())  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if settings.mongodb_uri is None:
        raise RuntimeError("SATCHEL_MONGODB_URI is not set")
    client = connect(
        settings, settings.mongodb_uri.get_secret_value(), listeners=app.state.listeners
    )
    async with client:
        binding = asyncio.create_task(_bind(app, client, settings))
        await asyncio.wait({binding}, timeout=settings.request_timeout_ms / 1000)
        if binding.done():
            binding.result()
        feed = asyncio.create_task(app.state.feed.run())
        log.info("started", version=VERSION, environment=settings.environment)
        yield
        binding.cancel()
        await _ended(feed)
    await app.state.sign_in.close()
    log.info("stopped")


async def _ended(task: "asyncio.Task[None]") -> None:
    """Return when a task has ended that was told to, again where it did not hear: before Python
    3.12 `wait_for`, which the driver uses, loses what is said while its time ends."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


async def _bind(app: FastAPI, client: Client, settings: Settings) -> None:
    """From then on requests are let through; until then the gate answers 503."""
    try:
        waits_for = partial(setattr, app.state, "waits_for")
        app.state.database = await bind_in_time(client, settings, waits_for)
        app.state.overlap = await overlap_of(client)
    except PyMongoError as error:
        log.error("the database lets us not in", error=type(error).__name__)
        raise


def _add_layers(app: FastAPI, settings: Settings) -> None:
    """The layers around FastAPI, plain ASGI each; the hot routes are served without FastAPI's
    own."""
    build = app.build_middleware_stack

    def layered() -> ASGIApp:
        endpoints = _hot_endpoints()
        hot = HotRoutes(Compressed(without_plain_errors(build())), endpoints)
        app.state.api = hot  # the console calls it
        inner: ASGIApp = Heads(
            Admission(hot, settings, lambda: app.state.waits_for, (*large_paths(), IMPORT_PATH))
        )
        hosts = Hosts(CrossOrigin(inner, settings, endpoints))
        return ProblemPages(Observed(Proxied(hosts, settings), settings))

    app.build_middleware_stack = layered  # type: ignore[method-assign]


def _hot_endpoints() -> list[HotEndpoint]:
    return [
        *app_data.hot_endpoints(),
        batch_endpoint(),
        *sync.hot_endpoints(),
        *analytics.hot_endpoints(),
    ]


def declared_rules() -> dict[str, Access]:
    """Who may call what, by method and path template, as the routes declare it."""
    gathered: dict[str, Access] = {}
    for router in ROUTERS:
        if isinstance(router, Router):
            gathered |= router.rules
    for endpoint in _hot_endpoints():
        gathered |= endpoint.rules
    return gathered


def _hot_paths() -> dict[str, Any]:
    """What OpenAPI says of the hot routes, by path."""
    values, events = app_data.VALUE_PATH, analytics.EVENTS_PATH
    described = {
        values: value_operations(),
        BATCH_PATH: batch_operations(),
        sync.CHANGES_PATH: changes_operations(),
    }
    described |= {EVENTS_PATH: events_operations(), events: ingest_operations()}
    return described | segment_operations() | library_operations()


def _operations() -> Iterator[str]:
    """Method and path template of everything that is served, but the document and the pages that
    FastAPI adds."""
    for router in ROUTERS:
        for route in router.routes:
            for method in getattr(route, "methods", None) or ("MOUNT",):
                yield f"{method} {getattr(route, 'path', '')}"
    for endpoint in _hot_endpoints():
        for method in endpoint.methods:
            yield f"{method} {endpoint.template}"
