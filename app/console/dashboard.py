"""The console: a page of analytics, readable without script, that loads nothing from elsewhere."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

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
from app.console.panels import WITHIN, cohorts_of, panels
from app.console.question import CATEGORIES, INTERVALS, RANGES, Shown, default_view, shown
from app.console.session import (
    forget,
    form_field,
    known,
    refuse_other_sites,
    remember,
    required_viewer,
    viewer,
)
from app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from app.identity.principal import Principal
from app.settings import Settings
from app.web.body import dump_json
from models.base import now, rfc3339

router = APIRouter(include_in_schema=False)
_HERE: Final = Path(__file__).parent
_PAGES: Final = Environment(
    loader=FileSystemLoader(_HERE / "pages"),
    autoescape=select_autoescape(),
    enable_async=False,
    trim_blocks=True,
)
_NOTHING: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_POLICY: Final = (
    f"{_NOTHING}; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'"
)
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}  # forms tell their origin
_STATIC: Final = {
    "chart.js": "text/javascript",
    "console.js": "text/javascript",
    "console.css": "text/css",
}
_FILES: Final = {name: (_HERE / "static" / name).read_bytes() for name in _STATIC}

Viewer = Annotated[Principal, Depends(required_viewer)]


def _page(name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", **_SAFE}
    return HTMLResponse(_PAGES.get_template(name).render(**values), status, headers)


def _data(rows: Rows) -> Markup:
    """Rows for a chart, safe within a script element that is no script."""
    text = orjson.dumps(orjson.loads(dump_json(rows.rows))).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


_PAGES.filters["data"] = _data
_PAGES.filters["number"] = lambda value: f"{value:,}".replace(",", "\u202f")
_PAGES.filters["percent"] = lambda value: f"{value * 100:.1f} %"


@router.get("/console", response_class=HTMLResponse)
async def console(request: Request) -> HTMLResponse:
    """The page; for those who have not signed in, the form to do it."""
    principal = await viewer(request)
    if principal is None:
        return _sign_in(request)
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
    return _page(
        "console.html",
        view=view,
        panels=values,
        principal=principal,
        ranges=RANGES,
        intervals=INTERVALS,
        categories=CATEGORIES,
        url=request.app.state.settings.url,
        start=rfc3339(view.period.start),
        end=rfc3339(view.period.end),
        parts=parts,
        drawn_parts={rfc3339(time): part for time, part in parts.items()},
        cohorts=cohorts,
        cohort_parts=view.parts(cohorts, moment),
        fresh=values.categories.fresh,
        rfc3339=rfc3339,
        local=lambda moment: _local(moment, view),
        sent=sent,
        steps=view.steps,
        heat=lambda share: min(10, round(share * 10)),
    )


def _local(moment: datetime, view: Shown) -> str:
    """A bucket's start by the page's clock."""
    return view.clock(
        moment, "%d %b %H:%M" if view.period.interval in ("hour", "minute") else "%a %d %b %Y"
    )


def _sign_in(request: Request, *, status: int = 200, complaint: str | None = None) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    return _page(
        "sign_in.html",
        status=status,
        version=request.app.version,
        url=settings.url,
        key_file=settings.data_dir / "admin-key" if settings.environment == "development" else None,
        complaint=complaint,
    )


@router.post("/console/sign-in", response_class=HTMLResponse)
async def sign_in(request: Request) -> Response:
    """Take a key that may read analytics, from a form of ours."""
    refuse_other_sites(request)
    key = await form_field(request, "key")
    if key is None:
        return _sign_in(request, status=422, complaint="The form has more in it than a key.")
    try:
        await known(request, key)
    except Unauthenticated:
        return _sign_in(request, status=401, complaint="There is no such key, or it has expired.")
    except Forbidden:
        return _sign_in(
            request, status=403, complaint="This key may not read analytics (scope analytics:read)."
        )
    response = RedirectResponse("/console", 303, headers={"Cache-Control": "no-store"})
    remember(response, key, secure=request.url.scheme == "https")
    return response


@router.post("/console/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the key."""
    refuse_other_sites(request)
    response = RedirectResponse("/console", 303)
    forget(response)
    return response


@router.get("/console/static/{name}")
async def static(name: str) -> Response:
    """Script, chart library and style of the page."""
    if name not in _FILES:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": "no-cache", **_SAFE}
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
    response.headers.update(_SAFE)
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
