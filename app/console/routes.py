"""The pages beside the console: the API documentation, the errors. None loads anything from
elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from app.errors import NotFound, Problem

router = APIRouter(include_in_schema=False)
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=select_autoescape(),
    enable_async=False,
)
_POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)

# Swagger UI sets styles by itself and shows icons from data URLs; its only script is ours, and it
# calls this server.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_UI: Final = "5.35.0"
"""Version of the files in `static/swagger-ui`, from the npm package swagger-ui-dist
(Apache-2.0)."""
_FILES: Final = Path(__file__).parent / "static" / "swagger-ui"
_STATIC: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "start.js": "text/javascript",
    "LICENSE": "text/plain",
    "NOTICE": "text/plain",
}

_ICON: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0b5cad" '
    b'd="M2 6h12v8H2zM5 6V4a3 3 0 0 1 6 0v2h-1.5V4a1.5 1.5 0 0 0-3 0v2z"/></svg>'
)


@router.get("/favicon.ico")
async def icon() -> Response:
    """A satchel."""
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


@router.get("/docs", response_class=HTMLResponse)
async def docs() -> HTMLResponse:
    """Swagger UI over the OpenAPI document, from files of our own."""
    page = _PAGES.get_template("docs.html").render(version=SWAGGER_UI)
    return HTMLResponse(page, headers={"Content-Security-Policy": _DOCS_POLICY})


@router.get("/docs/static/{name}")
async def static(name: str) -> Response:
    """One of the files that `/docs` is made of."""
    if name not in _STATIC:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_FILES / name, media_type=_STATIC[name], headers=headers)


@router.get("/docs/errors", response_class=HTMLResponse)
async def errors() -> HTMLResponse:
    """Where the `type` of a problem leads."""
    found = sorted(_kinds(Problem), key=lambda problem: (problem.status, problem.code.value))
    page = _PAGES.get_template("errors.html").render(problems=found)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def _kinds(kind: type[Problem]) -> Iterator[type[Problem]]:
    """Every kind of problem; some are kinds of another."""
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)
