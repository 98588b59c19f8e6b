"""By whom a request comes: a proxy whose word is taken for the client's address, or one whose is
not."""

from collections.abc import Awaitable
from ipaddress import ip_address
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import Settings
from app.web.observability import log

_FORWARDED: Final = b"x-forwarded-for"
_ADVICE: Final = (
    "limits of an address are shared by all who come by that proxy: name it in"
    " SATCHEL_TRUSTED_PROXIES, or set that to [] where there is none"
)


class Proxied:
    """Warns in production of a proxy that is not trusted: everybody has its address then.

    At the start, where other machines reach the server and nobody has said which proxies there are;
    and once at a request that came by one.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._is_told = settings.environment != "production"
        is_said = "trusted_proxies" in settings.model_fields_set
        if not (self._is_told or is_said or _is_loopback(settings.host)):
            log.warning("no proxy of another machine is trusted", advice=_ADVICE)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; it is awaited without a step in between."""
        if not self._is_told and scope["type"] == "http":
            self._look(scope)
        return self.app(scope, receive, send)

    def _look(self, scope: Scope) -> None:
        client: Any = scope.get("client")
        said = [value for name, value in scope["headers"] if name == _FORWARDED]
        # Of a trusted one, the client is what the header says.
        if client and said and client[0].encode() not in b",".join(said):
            self._is_told = True
            log.warning("a proxy is not trusted", proxy=client[0], advice=_ADVICE)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
