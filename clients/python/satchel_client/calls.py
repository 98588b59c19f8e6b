"""What the server's side sends, whether it waits or awaits."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from satchel_client.errors import NotFound, Unstorable
from satchel_client.exchange import Call, Flow, Reply, patient
from satchel_client.people import Document
from satchel_client.storable import MOST_BATCH
from satchel_client.values import MISSING, Json

T = TypeVar("T")
SECONDS = 120.0
MERGE = {"Content-Type": "application/merge-patch+json"}


class Calls:
    """The requests, whoever sends them."""

    def send_flow(self, call: Call) -> Flow[Reply]:
        """Send until it is answered, for good or ill."""
        reply = yield from patient(call)
        return reply.checked()

    def write_flow(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> Flow[Any]:
        """A write that happens once, however often it is sent: each has an `Idempotency-Key` of its
        own."""
        call = Call(
            method, path, body=body, headers={"Idempotency-Key": str(uuid.uuid4()), **headers}
        )
        reply = yield from self.send_flow(call)
        return reply.json() if reply.content else None

    def read_flow(self, path: str, params: Mapping[str, str]) -> Flow[Any]:
        """What a `GET` answers."""
        reply = yield from self.send_flow(Call("GET", path, params))
        return reply.json()

    def get_flow(self, user_id: str, app_id: str, key: str, default: Any) -> Flow[Json]:
        """A value; what is to be said where there is none, of a user who is there."""
        try:
            return (yield from self.read_flow(value_path(user_id, app_id, key), {}))
        except NotFound:
            if default is MISSING:
                raise
        yield from self.read_flow(user_path(user_id), {})  # there is no value; is there the user?
        return default

    def put_flow(
        self, user_id: str, app_id: str, key: str, value: Json, version: int | None
    ) -> Flow[Document]:
        """The envelope of a value that was stored."""
        document = yield from self.write_flow(
            "PUT", value_path(user_id, app_id, key), value, precondition(version)
        )
        return dict(document)


def user_path(user_id: str) -> str:
    """The path of a user."""
    return f"/v1/users/{quote(user_id, safe='')}"


def batch_of(writes: Sequence[Document], *, atomic: bool) -> Document:
    """The body of a batch, each write with a `mutationId`.

    Raises:
        Unstorable: there are too many.
    """
    if len(writes) > MOST_BATCH:
        detail = f"a batch has at most {MOST_BATCH} writes, this one {len(writes)}"
        raise Unstorable("invalid", [{"pointer": "/writes", "code": "too_many", "detail": detail}])
    named = [{"mutationId": str(uuid.uuid4()), **write} for write in writes]
    return {"atomic": atomic, "writes": named}


def app_path(user_id: str, app_id: str) -> str:
    """The path of what an app keeps of a user."""
    return f"{user_path(user_id)}/apps/{quote(app_id, safe='')}"


def value_path(user_id: str, app_id: str, key: str) -> str:
    """The path of a value."""
    return f"{app_path(user_id, app_id)}/data/{quote(key, safe='')}"


def precondition(version: int | None) -> dict[str, str]:
    """The headers by which a write holds for one version only, 0 for none there."""
    if version is None:
        return {}
    return {"If-None-Match": "*"} if version == 0 else {"If-Match": f'"{version}"'}
