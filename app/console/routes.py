"""The console: a page that says that Satchel runs and where to go on. The dashboard comes with analytics."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from app.errors import Problem
from models import DOCUMENTS

router = APIRouter(include_in_schema=False)
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=select_autoescape(), enable_async=False
)
_POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_ICON: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0b5cad" '
    b'd="M2 6h12v8H2zM5 6V4a3 3 0 0 1 6 0v2h-1.5V4a1.5 1.5 0 0 0-3 0v2z"/></svg>'
)


@router.get("/favicon.ico")
async def icon() -> Response:
    """A satchel."""
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


@router.get("/console", response_class=HTMLResponse)
async def console(request: Request) -> HTMLResponse:
    """Readable without script, loads nothing from elsewhere."""
    page = _PAGES.get_template("console.html").render(
        version=request.app.version,
        url=request.app.state.settings.url,
        collections=[document.collection_name() for document in DOCUMENTS],
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/errors", response_class=HTMLResponse)
async def errors() -> HTMLResponse:
    """Where the `type` of a problem leads."""
    found = sorted(Problem.__subclasses__(), key=lambda problem: (problem.status, problem.code.value))
    page = _PAGES.get_template("errors.html").render(problems=found)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
