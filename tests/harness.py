"""The application under test: httpx2 straight into ASGI, with start and stop."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpx2
from bson import ObjectId
from fastapi import FastAPI
from pymongo.monitoring import CommandStartedEvent

from app.main import create_app
from app.settings import Settings
from models.api_key import ApiKey, ApiKeyContent
from tests.explain import QueryRecorder
from tests.reuse import share_routes

in_request: ContextVar[bool] = ContextVar("in_request", default=False)


class RequestRecorder(QueryRecorder):
    """Keeps what requests send, and not what tests ask of the database by themselves."""

    def started(self, event: CommandStartedEvent) -> None:
        if in_request.get():
            super().started(event)


class Reads(QueryRecorder):
    """Which collections a request reads."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def started(self, event: CommandStartedEvent) -> None:
        if in_request.get():
            named = [event.command.get(event.command_name)]
            for stage in event.command.get("pipeline", ()):
                named += [step.get("from") or step.get("coll") for step in stage.values()
                          if isinstance(step, dict)]  # fmt: skip
            self.names |= {name for name in named if isinstance(name, str)}


def version_of(answer: httpx2.Response) -> int:
    """The version that an answer's ETag names; it must name its document besides."""
    found = re.fullmatch(r'"(\d+)\.[\w-]{12}(\.zstd|\.gzip)?"', answer.headers["etag"])
    assert found, answer.headers["etag"]
    return int(found[1])


def known(answer: httpx2.Response) -> dict[str, str]:
    """The header of a reader who has this answer already."""
    return {"If-None-Match": answer.headers["etag"]}


class Caller:
    """A caller with credentials: `await caller.get("/v1/users/me")`."""

    def __init__(
        self, client: httpx2.AsyncClient, credential: str | None, user_id: str = ""
    ) -> None:
        self._client = client
        self.credential = credential
        self.id = user_id

    @property
    def secret(self) -> str:
        """The credential of one who has any."""
        assert self.credential is not None
        return self.credential

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; `headers=` and the like as in httpx2."""
        headers = dict(options.pop("headers", None) or {})
        if self.credential is not None:
            headers.setdefault("Authorization", f"Bearer {self.credential}")
        token = in_request.set(True)
        try:
            return await self._client.request(method, path, headers=headers, **options)
        finally:
            in_request.reset(token)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("GET", path, **options)

    async def put(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("PUT", path, **options)

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("POST", path, **options)

    async def delete(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("DELETE", path, **options)

    async def merge(self, path: str, patch: Any, **options: Any) -> httpx2.Response:
        """PATCH with a JSON Merge Patch."""
        headers = {"Content-Type": "application/merge-patch+json"} | (
            options.pop("headers", None) or {}
        )
        return await self.request("PATCH", path, json=patch, headers=headers, **options)

    async def patch(self, path: str, operations: Any, **options: Any) -> httpx2.Response:
        """PATCH with a JSON Patch."""
        headers = {"Content-Type": "application/json-patch+json"} | (
            options.pop("headers", None) or {}
        )
        return await self.request("PATCH", path, json=operations, headers=headers, **options)


class Api:
    """A running application and those who call it."""

    def __init__(self, app: FastAPI, client: httpx2.AsyncClient) -> None:
        self.app = app
        self.client = client
        self.settings: Settings = app.state.settings

    def caller(self, credential: str | None, user_id: str = "") -> Caller:
        """Someone with this token or key."""
        return Caller(self.client, credential, user_id)

    async def key(
        self, *scopes: str, app_id: str | None = None, account_id: str | None = None
    ) -> Caller:
        """A fresh API key, put into the database."""
        bound = {"appId": app_id, "accountId": account_id}
        content = ApiKeyContent.model_validate({"name": "test", "scopes": list(scopes), **bound})
        key, secret = ApiKey.issue(content)
        await key.add()
        return self.caller(secret)

    def token(self, user_id: str, app_id: str | None = None) -> Caller:
        """A user by an access token."""
        import time

        tokens = self.app.state.authenticator.tokens
        token, _ = tokens.mint(ObjectId(user_id), issued_at=time.time(), app_id=app_id)
        return self.caller(token, user_id)


@asynccontextmanager
async def serve(settings: Settings, recorder: QueryRecorder | None = None) -> AsyncIterator[Api]:
    """An application with its start and stop, in this process."""
    app = create_app(settings, (recorder,) if recorder else ())
    share_routes(app)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://satchel.test"
        ) as client:
            yield Api(app, client)
