"""The console: a page that says that Satchel runs and where to go on. The dashboard comes with analytics."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from models import DOCUMENTS

router = APIRouter(include_in_schema=False)
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=select_autoescape(), enable_async=False
)
_POLICY: Final = "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@router.get("/console", response_class=HTMLResponse)
async def console(request: Request) -> HTMLResponse:
    """Readable without script, loads nothing from elsewhere."""
    page = _PAGES.get_template("console.html").render(
        version=request.app.version,
        url=request.app.state.settings.url,
        collections=[document.collection_name() for document in DOCUMENTS],
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
