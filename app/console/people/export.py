"""Everything of a person as a file, as the API exports it, passed on part by part."""

from typing import Final

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from app.console.frame.calls import Api, path_of
from app.console.frame.pages import Desk, Page

EXPORT: Final = "GET /v1/users/{userId}/export"
page = Page(__name__, "Export", "/console/people", group="People", scope="users:read", listed=False)
_TYPES: Final = {"zip": "application/zip", "ndjson": "application/x-ndjson"}


def can_export(request: Request) -> bool:
    """Whether this deployment's API exports people."""
    return EXPORT in request.app.state.rules.by_operation


@page.get("/console/people/{userId}/export")
async def export(desk: Desk) -> Response:
    """An archive for people, or lines for programs."""
    accept = _TYPES.get(desk.query("form"), _TYPES["zip"])
    return _PassedOn(desk.api, path_of("/v1/users/{}/export", desk["userId"]), accept)


class _PassedOn(Response):
    """The API's answer, as it comes."""

    def __init__(self, api: Api, path: str, accept: str) -> None:
        super().__init__()
        self._api, self._path, self._accept = api, path, accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; who goes away is noticed."""
        await self._api.pass_on(self._path, receive, send, {"accept": self._accept})
