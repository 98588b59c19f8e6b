"""Pages of other origins (CORS): those of the setting may call everything, any may send events with
a write key.

No answer is for cookies, so an origin that is let in can do what its page has a key or a token for,
and nothing else.
"""

from collections.abc import Awaitable, Iterable
from typing import Final

from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import Settings
from app.web.hot import HotEndpoint

# tracers and SDKs add their own; without cookies the origin alone decides who may call
_ANY_HEADER: Final = ("*",)
_SENT_HEADERS: Final = (
    *(
        "ETag",
        "Last-Modified",
        "Location",
        "Retry-After",
        "X-Request-Id",
        "Satchel-As-Of",
        "Satchel-Staleness",
    ),
    *(
        "Satchel-Quota",
        "Satchel-Rollup-Lag",
        "Accept-Patch",
        "Allow",
        "Content-Disposition",
        "Content-Encoding",
        "Date",
        "WWW-Authenticate",
    ),
)
_TWO_HOURS: Final = 7200
"""How long a page may go by a preflight: as browsers bound it, since one that is being closed has
no time to ask."""


class CrossOrigin:
    """Answers preflights, and says of each answer which origin's pages may read it."""

    def __init__(self, app: ASGIApp, settings: Settings, endpoints: Iterable[HotEndpoint]) -> None:
        self._open_paths = [
            pattern for each in endpoints if each.any_origin for pattern in each.patterns
        ]
        self._events = _let_in(
            app,
            (*settings.write_key_origins, *settings.cors_origins),
            ("GET", "HEAD", "POST"),
            _TWO_HOURS,
        )
        self._all = _let_in(
            app, settings.cors_origins, ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
        )
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; one that comes from no page is awaited without a step in between."""
        if scope["type"] != "http" or all(name != b"origin" for name, _ in scope["headers"]):
            return self._app(scope, receive, send)
        is_open = any(pattern.match(scope["path"]) for pattern in self._open_paths)
        return (self._events if is_open else self._all)(scope, receive, send)


def _let_in(
    app: ASGIApp, origins: Iterable[str], methods: Iterable[str], max_age: int = 600
) -> ASGIApp:
    allowed = tuple(origins)
    if not allowed:
        return app
    return CORSMiddleware(
        app,
        allow_origins=allowed,
        allow_methods=tuple(methods),
        allow_headers=_ANY_HEADER,
        expose_headers=_SENT_HEADERS,
        max_age=max_age,
    )
