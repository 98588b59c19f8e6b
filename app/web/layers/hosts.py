"""Exactly one sound `Host` line (RFC 9112, section 3.2): what two say, a proxy and we may read
differently."""

import re
from collections.abc import Awaitable, Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import BadHost
from app.web.observability import send_problem

# RFC 3986, section 3.2.2. No comma, though a name may have one there: a proxy joins two lines with
# it.
_HOST: Final = re.compile(rb"(?:\[[A-Za-z0-9:.%_~-]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]*)?")


class Hosts:
    """Refuses every request, to whatever path, that does not say once and clearly which host it is
    for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; a sound one is awaited without a step in between."""
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
                refusal = _refusal(hosts, scope["http_version"])
                if refusal is not None:
                    return send_problem(refusal, scope, send)
        return self.app(scope, receive, send)


def _refusal(hosts: Sequence[bytes], http_version: str) -> BadHost | None:
    """What is wrong; None for an HTTP/1.0 client that names no host."""
    if len(hosts) > 1:
        return BadHost("conflicting", "send one Host line, not several")
    if hosts:
        return BadHost(
            "malformed", "send a host name or an address, with its port where it has one"
        )
    return (
        None
        if http_version == "1.0"
        else BadHost("missing", "send the host that the request is for")
    )
