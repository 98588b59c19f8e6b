"""Every page of the console, in the order of its navigation: a new one is a line here."""

from typing import Final

from fastapi import APIRouter

from app.console.apps import listing as apps
from app.console.apps import settings
from app.console.data import browse, restoring, value
from app.console.frame.pages import Entry, Page
from app.console.keys import listing as keys
from app.console.operation import audit, deletions, indexes, integrity, jobs, slow, state
from app.console.people import activity, deletion, person, rows, search, sessions

ANALYTICS: Final = Entry("Analytics", "Analytics", "/console", "analytics:read")
PAGES: Final[tuple[Page, ...]] = (
    search.page,
    person.page,
    rows.page,
    activity.page,
    sessions.page,
    deletion.page,
    browse.page,
    value.page,
    restoring.page,
    apps.page,
    settings.page,
    keys.page,
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
