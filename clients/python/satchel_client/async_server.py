"""The server's side for programs that await."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import httpx2

from satchel_client.calls import MERGE, SECONDS, Calls, T, app_path, batch_of, user_path, value_path
from satchel_client.errors import Unreachable
from satchel_client.exchange import (
    Flow,
    carry_out_async,
    problem_of,
)
from satchel_client.people import Document, Export, lines_of
from satchel_client.values import MISSING, Json


class AsyncServer(Calls):
    """The same for programs that await."""

    def __init__(
        self, url: str, key: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(
            base_url=url.rstrip("/"), headers=headers, transport=transport
        )

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return await carry_out_async(self._http, flow)

    async def read(self, path: str, **params: str) -> Any:
        """`GET` of any path below `/v1`."""
        return await self.run(self.read_flow(path, params))

    async def write(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """A write to any path below `/v1`, safe to be sent again."""
        return await self.run(self.write_flow(method, path, body, headers or {}))

    async def pages(self, path: str, **params: str) -> AsyncIterator[Document]:
        """The items of a list, page by page as they are asked for."""
        cursor: str | None = None
        while True:
            page = await self.read(path, **params, **({} if cursor is None else {"cursor": cursor}))
            for item in page["items"]:
                yield item
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def create_user(self, **fields: Any) -> Document:
        """Make a user, with profile and preferences."""
        return dict(await self.write("POST", "/v1/users", fields))

    def users(self, **filters: str) -> AsyncIterator[Document]:
        """The users that fit."""
        return self.pages("/v1/users", limit="200", **filters)

    async def user(self, user_id: str) -> Document:
        """A user."""
        return dict(await self.read(user_path(user_id)))

    async def find_user(self, email: str) -> Document | None:
        """The user with this email, None where there is none."""
        found = (await self.read("/v1/users", email=email))["items"]
        return dict(found[0]) if found else None

    async def update_user(self, user_id: str, patch: Mapping[str, Any]) -> Document:
        """Change fields of a user by a JSON Merge Patch."""
        return dict(await self.write("PATCH", user_path(user_id), dict(patch), MERGE))

    async def delete_user(self, user_id: str) -> Document:
        """Delete a person and everything of theirs; the receipt, or the job that makes it."""
        return dict(await self.write("DELETE", user_path(user_id)))

    async def import_people(
        self, people: Iterable[Mapping[str, Any]], *, dry_run: bool = False
    ) -> AsyncIterator[Document]:
        """Bring people in; what became of each, in their order."""
        for lines in lines_of(people):
            reply = await self.run(self.send_flow(lines.call(dry_run=dry_run)))
            for told in lines.results(reply.content):
                yield told

    async def export(self, user_id: str) -> AsyncIterator[Document]:
        """Everything that hangs off a person; `Unreachable` where it broke off."""
        export, path = Export(), f"{user_path(user_id)}/export"
        try:
            async with self._http.stream("GET", path, timeout=SECONDS) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise problem_of(answer)
                async for line in answer.aiter_lines():
                    yield export.read(line)
        except httpx2.TransportError as error:
            raise Unreachable("the server cannot be reached") from error
        export.end()

    async def apps(self, user_id: str) -> list[Document]:
        """Which apps keep anything of a person."""
        return list((await self.read(f"{user_path(user_id)}/apps"))["items"])

    async def get(self, user_id: str, app_id: str, key: str, default: Any = MISSING) -> Json:
        """A value; `NotFound` where there is none and no `default`."""
        return await self.run(self.get_flow(user_id, app_id, key, default))

    async def put(
        self, user_id: str, app_id: str, key: str, value: Json, *, version: int | None = None
    ) -> Document:
        """Store a value: its `version` and times."""
        return await self.run(self.put_flow(user_id, app_id, key, value, version))

    async def delete(self, user_id: str, app_id: str, key: str) -> None:
        """Delete a value."""
        await self.write("DELETE", value_path(user_id, app_id, key))

    async def patch(self, user_id: str, app_id: str, key: str, patch: Json) -> Document:
        """Change parts of a value by a JSON Merge Patch: its envelope."""
        return dict(await self.write("PATCH", value_path(user_id, app_id, key), patch, MERGE))

    async def batch(
        self, user_id: str, app_id: str, writes: Sequence[Document], *, atomic: bool = False
    ) -> list[Document]:
        """Up to 200 writes, each with its own outcome, or all or nothing."""
        body = batch_of(writes, atomic=atomic)
        return list(
            (await self.write("POST", f"{app_path(user_id, app_id)}/batch", body))["results"]
        )

    async def changes(
        self, user_id: str, app_id: str, since: str | None = None
    ) -> AsyncIterator[tuple[list[Document], str]]:
        """What has changed since a cursor, page by page, each with the cursor behind it."""
        more = True
        while more:
            asked = {} if since is None else {"since": since}
            page = await self.read(f"{app_path(user_id, app_id)}/changes", **asked)
            since, more = page["cursor"], page["more"]
            yield page["changes"], str(since)

    def values(self, user_id: str, app_id: str, prefix: str = "") -> AsyncIterator[Document]:
        """The live values of an app in their envelopes, in the order of their keys."""
        return self.pages(f"{app_path(user_id, app_id)}/data", prefix=prefix, limit="200")
