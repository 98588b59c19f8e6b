"""How pages are rendered: templates that escape everything, a strict policy, the filters that they
share."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from app.web.body import dump_json
from models.base import rfc3339

_ROOT: Final = Path(__file__).parent.parent
_NOTHING: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
POLICY: Final = (
    f"{_NOTHING}; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'"
)
SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # forms tell their origin
}
_PAGES: Final = Environment(
    loader=FileSystemLoader(_ROOT), autoescape=True, enable_async=False, trim_blocks=True
)
_UNITS: Final = ("B", "KiB", "MiB", "GiB")


def render(template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page of a template, by its path in `app/console`."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", **SAFE}
    return HTMLResponse(_PAGES.get_template(template).render(**values), status, headers)


def _data(value: Any) -> Markup:
    """A value for a script, safe within a script element that is no script."""
    text = orjson.dumps(orjson.loads(dump_json(value))).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _pretty(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(orjson.loads(dump_json(value)), option=orjson.OPT_INDENT_2).decode()


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _bytes(value: float) -> str:
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _moment(value: str | datetime | None) -> Markup:
    """A time element, to the second in UTC; a dash where there is none."""
    if value is None:
        return Markup("–")
    text = rfc3339(value) if isinstance(value, datetime) else value
    return Markup('<time datetime="{}">{} {}</time>').format(text, text[:10], text[11:19])


_PAGES.filters.update(
    data=_data,
    pretty=_pretty,
    number=_number,
    percent=lambda value: f"{value * 100:.1f} %",
    bytes=_bytes,
    moment=_moment,
)
