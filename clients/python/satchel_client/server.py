"""The server's side: people and their data by an API key, with retries that are safe."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import httpx2

from satchel_client.calls import MERGE, SECONDS, Calls, T, app_path, batch_of, user_path, value_path
from satchel_client.errors import Unreachable
from satchel_client.exchange import (
    Flow,
    carry_out,
    problem_of,
)
from satchel_client.people import Document, Export, lines_of
from satchel_client.values import MISSING, Json


class Server(Calls):
    """One Satchel, by an API key, for programs that wait.

    Args:
        url: of the Satchel.
        key: an API key (`sk_…`). It is for servers: whoever has it can do all that its scopes say.
        transport: instead of the network.
    """

    def __init__(
        self, url: str, key: str, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=url.rstrip("/"), headers=headers, transport=transport)

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return carry_out(self._http, flow)

    def read(self, path: str, **params: str) -> Any:
        """`GET` of any path below `/v1`, as `read("/v1/users/…/complete")`."""
        return self.run(self.read_flow(path, params))

    def write(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """A write to any path below `/v1`, safe to be sent again."""
        return self.run(self.write_flow(method, path, body, headers or {}))

    def pages(self, path: str, **params: str) -> Iterator[Document]:
        """The items of a list, page by page as they are asked for."""
        cursor: str | None = None
        while True:
            page = self.read(path, **params, **({} if cursor is None else {"cursor": cursor}))
            yield from page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def create_user(self, **fields: Any) -> Document:
        """Make a user, with profile and preferences: `email`, `name`, …"""
        return dict(self.write("POST", "/v1/users", fields))

    def users(self, **filters: str) -> Iterator[Document]:
        """The users that fit: `prefix` of the name, `role`, `accountId`, `from` and `to`; all of
        them, the newest first, where nothing is told."""
        return self.pages("/v1/users", limit="200", **filters)

    def import_people(
        self, people: Iterable[Mapping[str, Any]], *, dry_run: bool = False
    ) -> Iterator[Document]:
        """Bring people in, any number, with a key of the scope `users:import`.

        Args:
            people: each as a line of the import has it: `{"user": …, "verified": …, "appData": …}`;
                or the lines of an export.
            dry_run: write nothing.

        Yields:
            What became of each, in their order: `line`, `status`, and `id` or `errors`. It is safe
            to send all of them again.
        """
        for lines in lines_of(people):
            reply = self.run(self.send_flow(lines.call(dry_run=dry_run)))
            yield from lines.results(reply.content)

    def export(self, user_id: str) -> Iterator[Document]:
        """Everything that hangs off a person, of one moment: `{"kind", "document"}`, line by line
        as it comes.

        Raises:
            Unreachable: it broke off, and is not everything.
        """
        export = Export()
        try:
            with self._http.stream(
                "GET", f"{user_path(user_id)}/export", timeout=SECONDS
            ) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise problem_of(answer)
                for line in answer.iter_lines():
                    yield export.read(line)
        except httpx2.TransportError as error:
            raise Unreachable("the server cannot be reached") from error
        export.end()

    def apps(self, user_id: str) -> list[Document]:
        """Which apps keep anything of a person: `appId`, `keys`, `bytes`, `changedAt`."""
        return list(self.read(f"{user_path(user_id)}/apps")["items"])

    def user(self, user_id: str) -> Document:
        """A user."""
        return dict(self.read(user_path(user_id)))

    def find_user(self, email: str) -> Document | None:
        """The user with this email, None where there is none."""
        found = self.read("/v1/users", email=email)["items"]
        return dict(found[0]) if found else None

    def update_user(self, user_id: str, patch: Mapping[str, Any]) -> Document:
        """Change fields of a user by a JSON Merge Patch."""
        return dict(self.write("PATCH", user_path(user_id), dict(patch), MERGE))

    def delete_user(self, user_id: str) -> Document:
        """Delete a person and everything of theirs; the receipt, or the job that makes it."""
        return dict(self.write("DELETE", user_path(user_id)))

    def get(self, user_id: str, app_id: str, key: str, default: Any = MISSING) -> Json:
        """A value.

        Raises:
            NotFound: there is none, and no `default`; or there is no such user.
        """
        return self.run(self.get_flow(user_id, app_id, key, default))

    def put(
        self, user_id: str, app_id: str, key: str, value: Json, *, version: int | None = None
    ) -> Document:
        """Store a value: its `version` and times.

        Args:
            user_id: whose.
            app_id: which app's.
            key: under which key.
            value: any JSON.
            version: the one that it was made of, 0 for none; None to write whatever is there.

        Raises:
            PreconditionFailed: somebody was faster; `current` is what is stored.
        """
        return self.run(self.put_flow(user_id, app_id, key, value, version))

    def delete(self, user_id: str, app_id: str, key: str) -> None:
        """Delete a value."""
        self.write("DELETE", value_path(user_id, app_id, key))

    def patch(self, user_id: str, app_id: str, key: str, patch: Json) -> Document:
        """Change parts of a value by a JSON Merge Patch: its envelope."""
        return dict(self.write("PATCH", value_path(user_id, app_id, key), patch, MERGE))

    def batch(
        self, user_id: str, app_id: str, writes: Sequence[Document], *, atomic: bool = False
    ) -> list[Document]:
        """Up to 200 writes, each with its own outcome, or all or nothing; each gets a `mutationId`
        if it has none.

        Raises:
            Unstorable: there are more.
        """
        body = batch_of(writes, atomic=atomic)
        return list(self.write("POST", f"{app_path(user_id, app_id)}/batch", body)["results"])

    def values(self, user_id: str, app_id: str, prefix: str = "") -> Iterator[Document]:
        """The live values of an app in their envelopes, in the order of their keys."""
        return self.pages(f"{app_path(user_id, app_id)}/data", prefix=prefix, limit="200")

    def changes(
        self, user_id: str, app_id: str, since: str | None = None
    ) -> Iterator[tuple[list[Document], str]]:
        """What has changed since a cursor, page by page, each with the cursor behind it; without
        one, everything."""
        more = True
        while more:
            page = self.read(
                f"{app_path(user_id, app_id)}/changes",
                **({} if since is None else {"since": since}),
            )
            since, more = page["cursor"], page["more"]
            yield page["changes"], str(since)
