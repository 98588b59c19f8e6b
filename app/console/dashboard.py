"""The console: a page of analytics, readable without script, that loads nothing from elsewhere."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from app.analytics.query.answers import FORMATS, answer
from app.analytics.query.journeys import funnel, retention
from app.analytics.query.known_sets import KnownSets, known_sets
from app.analytics.query.periods import Period
from app.analytics.query.queries import (
    Rows,
    active_users,
    count_events,
    error_rates,
    retried,
    top_values,
)
from app.analytics.query.reader import Filter
from app.analytics.query.visits import sessions
from app.console.feed import Live, feed_of, sent
from app.console.frame.pages import Frame
from app.console.frame.rendering import SAFE, render
from app.console.navigation import ANALYTICS
from app.console.panels import WITHIN, cohorts_of, panels
from app.console.question import CATEGORIES, INTERVALS, RANGES, Shown, default_view, shown
from app.console.session import keep, required_viewer, viewer
from app.console.sign_in import home_of, sign_in_page
from app.errors import Invalid, NotFound
from app.identity.principal import Principal, authorize
from models.base import now, rfc3339

router = APIRouter(include_in_schema=False)
_STATIC: Final = {
    "chart.js": "text/javascript",
    "console.js": "text/javascript",
    "console.css": "text/css",
    "desk.css": "text/css",
    "desk.js": "text/javascript",
}
_FOLDER: Final = Path(__file__).parent / "static"
_FILES: Final = {name: (_FOLDER / name).read_bytes() for name in _STATIC}


async def _analyst(request: Request) -> Principal:
    principal = await required_viewer(request)
    authorize(principal, "analytics:read", app_id=principal.app_id)
    return principal


Viewer = Annotated[Principal, Depends(_analyst)]


@router.get("/console")
async def console(request: Request) -> Response:
    """The page; for those who have not signed in, the form to do it; for those who may not read
    analytics, the first page that is for them."""
    principal = await viewer(request)
    if principal is None or not (home := home_of(request, principal)):
        return sign_in_page(request)
    if home != ANALYTICS.path:
        return RedirectResponse(home, 303, headers={"Cache-Control": "no-store"})
    response = await _analytics(request, principal)
    keep(request, response)
    return response


async def _analytics(request: Request, principal: Principal) -> Response:
    view, sets = shown(request, principal), known_sets(request.scope)
    try:
        values = await panels(view, principal.app_id, sets)
    except (
        Invalid
    ) as error:  # a panel looks further than the span, to where nothing can be reckoned
        view = default_view(principal, error.detail)
        values = await panels(view, principal.app_id, sets)
    moment, cohorts = now(), cohorts_of(view)
    parts = view.parts(view.period, moment)
    shown_on_it = {
        "frame": Frame.of(request, principal, ANALYTICS),
        "view": view,
        "panels": values,
        "principal": principal,
        "ranges": RANGES,
        "intervals": INTERVALS,
        "categories": CATEGORIES,
        "url": request.app.state.settings.url,
        "start": rfc3339(view.period.start),
        "end": rfc3339(view.period.end),
        "parts": parts,
        "drawn_parts": {rfc3339(time): part for time, part in parts.items()},
        "cohorts": cohorts,
        "cohort_parts": view.parts(cohorts, moment),
        "fresh": values.categories.fresh,
        "rfc3339": rfc3339,
        "local": lambda moment: _local(moment, view),
        "sent": sent,
        "steps": view.steps,
        "heat": lambda share: min(10, round(share * 10)),
    }
    return render("pages/console.html", shown_on_it)


def _local(moment: datetime, view: Shown) -> str:
    """A bucket's start by the page's clock."""
    return view.clock(
        moment, "%d %b %H:%M" if view.period.interval in ("hour", "minute") else "%a %d %b %Y"
    )


@router.get("/console/static/{name}")
async def static(name: str) -> Response:
    """Script, chart library and style of the page."""
    if name not in _FILES:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": "no-cache", **SAFE}
    return Response(_FILES[name], media_type=f"{_STATIC[name]}; charset=utf-8", headers=headers)


@router.get("/console/live")
async def live(request: Request, principal: Viewer) -> Response:
    """Events as they come in, those that the address's filters let pass. The browser comes again
    after a while."""
    return Live(feed_of(request.scope), principal, shown(request, principal).which)


@router.get("/console/export/{panel}")
async def export(panel: str, request: Request, principal: Viewer) -> Response:
    """A panel's rows as CSV, NDJSON or JSON."""
    view = shown(request, principal)
    if view.complaint:
        raise NotFound(view.complaint)
    asked = request.query_params.get("format", "csv")
    found = await _rows(panel, view, known_sets(request.scope))
    response = answer(found, request, asked if asked in FORMATS else "csv")
    response.headers.update(SAFE)
    return response


async def _rows(panel: str, view: Shown, sets: KnownSets) -> Rows:
    whole = Period.of(view.period.start, view.period.end, None, view.period.zone)
    app = Filter(view.which.app_id)
    queries: dict[str, Any] = {
        "category-counts": lambda: count_events(view.period, view.which, "eventCategory"),
        "active-users": lambda: active_users(view.period, view.which, sets),
        "error-rate": lambda: error_rates(view.period, view.which),
        "sessions": lambda: sessions(view.period, app),
        "top": lambda: top_values(whole, view.which, None, 200, sets),
        "funnel": lambda: funnel(whole, app, list(view.steps), WITHIN),
        "retention": lambda: retention(cohorts_of(view), view.which, view.which, sets),
    }
    if panel not in queries or (panel == "funnel" and len(view.steps) < 2):
        raise NotFound("there is no such panel")
    found: Rows = await retried(queries[panel])
    return found
