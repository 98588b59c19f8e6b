"""Every page of the console, in the order of its navigation: a new one is a line here."""

from typing import Final

from fastapi import APIRouter

from app.console.accounts import account, events
from app.console.accounts import listing as accounts
from app.console.apps import listing as apps
from app.console.apps import settings
from app.console.connections import connection
from app.console.connections import listing as connections
from app.console.data import browse, restoring, value
from app.console.frame.pages import Entry, Page
from app.console.keys import listing as keys
from app.console.operation import audit, deletions, indexes, integrity, jobs, slow, state
from app.console.people import (
    activity,
    deletion,
    export,
    merging,
    person,
    rows,
    search,
    sessions,
    standing,
)
from app.console.repositories import listing as projects
from app.console.repositories import project

ANALYTICS: Final = Entry("Analytics", "Analytics", "/console", "analytics:read")
PAGES: Final[tuple[Page, ...]] = (
    search.page,
    person.page,
    rows.page,
    activity.page,
    sessions.page,
    merging.page,
    deletion.page,
    export.page,
    standing.page,
    browse.page,
    value.page,
    restoring.page,
    apps.page,
    settings.page,
    keys.page,
    accounts.page,
    account.page,
    events.page,
    connections.page,
    connection.page,
    projects.page,
    project.page,
    state.page,
    jobs.page,
    deletions.page,
    integrity.page,
    indexes.page,
    slow.page,
    audit.page,
)
ENTRIES: Final = (ANALYTICS, *(page.entry for page in PAGES if page.listed))
ROUTERS: Final[tuple[APIRouter, ...]] = tuple(page.router for page in PAGES)
