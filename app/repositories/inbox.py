"""The inbox of webhooks: signed as each host signs, stored once before they are answered, processed by the worker.

An id that nobody has and a signature that is none of ours are answered alike, so that ids cannot be tried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.body import parse_json
from app.database import transaction
from app.errors import Invalid, NotFound
from app.keyring import KeyRing, SealedError
from app.observability import log
from app.relations.guards import refer
from app.repositories.connect import opened
from app.signatures import BadSignature, is_signed, is_token
from models.base import now
from models.repository_connection import RepositoryConnection, ServiceType
from models.webhook_event import WebhookEvent

SERVICES: Final[dict[str, ServiceType]] = {"github": "GitHub", "gitlab": "GitLab", "bitbucket": "Bitbucket"}
_ID_HEADERS: Final[dict[ServiceType, tuple[str, ...]]] = {
    "GitHub": ("x-github-delivery",),
    "GitLab": ("idempotency-key", "x-gitlab-event-uuid"),
    "Bitbucket": ("x-request-uuid",),
}
_EVENT_HEADERS: Final[dict[ServiceType, str]] = {
    "GitHub": "x-github-event",
    "GitLab": "x-gitlab-event",
    "Bitbucket": "x-event-key",
}
_SIGNATURE_HEADERS: Final[dict[ServiceType, str]] = {"GitHub": "x-hub-signature-256", "Bitbucket": "x-hub-signature"}
_PREFIX: Final = "sha256="
_LONGEST: Final = 256


@dataclass(frozen=True, slots=True)
class Stored:
    """A delivery in the inbox, and whether it was there before."""

    id: ObjectId
    duplicate: bool


async def receive(
    service: str, connection_id: ObjectId | None, headers: Mapping[str, str], body: bytes, keyring: KeyRing
) -> Stored:
    """Verify a delivery and store it.

    Args:
        service: as in the path.
        connection_id: as in the path.
        headers: by names in lower case.
        body: as it was sent, since that is what is signed.
        keyring: opens the secrets.

    Raises:
        BadSignature: it is not signed with a secret of such a connection that is active.
        Invalid: it has no delivery id, or its body is no JSON object.
    """
    kind = SERVICES.get(service)
    found = await RepositoryConnection.find_by_id(connection_id) if kind and connection_id else None
    if kind is None or found is None or found.service_type != kind or not found.is_active:
        raise BadSignature
    if not _is_genuine(kind, headers, body, _secrets(found, keyring)):
        raise BadSignature
    payload = parse_json(body)
    if not isinstance(payload, dict):
        raise Invalid.field("", "malformed", "a delivery is a JSON object")
    event = WebhookEvent(
        connection_id=PydanticObjectId(found.id),
        delivery_id=_header(headers, *_ID_HEADERS[kind]),
        digest=sha256(body).hexdigest() if kind in _SIGNATURE_HEADERS else None,
        event=_header(headers, _EVENT_HEADERS[kind]),
        payload=payload,
    )
    return await _store(event)


async def _store(event: WebhookEvent) -> Stored:
    event_id = ObjectId()

    async def work(session: AsyncClientSession) -> None:
        row = event.stored() | {"_id": event_id}
        await refer(WebhookEvent, row, session)
        await WebhookEvent.raw().insert_one(row, session=session)

    try:
        await transaction(work)
    except DuplicateKeyError:
        same = {"connectionId": event.connection_id}
        row = await WebhookEvent.raw().find_one(same | {"deliveryId": event.delivery_id}, {"_id": 1})
        row = row or await WebhookEvent.raw().find_one(same | {"digest": event.digest}, {"_id": 1})
        return Stored(row["_id"] if row else event_id, duplicate=True)
    except NotFound:
        raise BadSignature from None
    return Stored(event_id, duplicate=False)


def _secrets(connection: RepositoryConnection, keyring: KeyRing) -> list[str]:
    """The secrets that are valid now: the current one, and its predecessor for a while."""
    fields = ["webhook_secret"]
    until = connection.previous_secret_until
    if connection.previous_secret is not None and (until is None or until > now()):
        fields.append("previous_secret")
    found = []
    for field in fields:
        try:
            found.append(opened(connection, field, keyring).get_secret_value())
        except SealedError as error:
            log.error("a webhook secret does not open", reason=str(error))
    return found


def _is_genuine(kind: ServiceType, headers: Mapping[str, str], body: bytes, secrets: list[str]) -> bool:
    """Whether a delivery is signed as its host signs: GitLab sends the secret, the others an HMAC of the body."""
    if kind == "GitLab":
        return is_token(headers.get("x-gitlab-token", ""), secrets)
    given = headers.get(_SIGNATURE_HEADERS[kind], "")
    return given.startswith(_PREFIX) and is_signed(body, [given.removeprefix(_PREFIX)], secrets)


def _header(headers: Mapping[str, str], *names: str) -> str:
    for name in names:
        value = headers.get(name, "").strip()
        if 0 < len(value) <= _LONGEST:
            return value
    raise Invalid.field(f"header:{names[0]}", "missing", f"a delivery has the header {names[0]}")


async def process(event: WebhookEvent) -> WebhookEvent | None:
    """Take an event into account: it shows that the connection works, or that something has to be looked at.

    Returns:
        The event as it is then; None where somebody else was faster.
    """
    connection = await RepositoryConnection.find_by_id(ObjectId(event.connection_id))
    if connection is None:
        return None
    wrong = _what_is_wrong(event, connection)
    moment = now()
    fields: dict[str, Any] = {"lastDeliveryAt": event.received_at}
    if wrong is None:
        fields["lastSyncAt"] = moment
    if wrong is not None or _is_about_the_repository(event):
        fields["nextHealthCheckAt"] = moment

    async def work(session: AsyncClientSession) -> WebhookEvent | None:
        settled = await event.settle("failed" if wrong else "processed", wrong, session)
        if settled is not None:
            await RepositoryConnection.change({"_id": connection.id, "isActive": True}, fields, session=session)
        return settled

    return await transaction(work)


def _what_is_wrong(event: WebhookEvent, connection: RepositoryConnection) -> str | None:
    """Why an event cannot be taken: it is about another repository than the one that is connected."""
    told = _repository_path(event.payload)
    wanted = connection.repository_url.split("/", 3)[3]
    if told is not None and told.lower() != wanted:
        return "another_repository"
    return None


def _repository_path(payload: Mapping[str, Any]) -> str | None:
    """`owner/name` as GitHub, GitLab or Bitbucket tell it."""
    for part, name in (("repository", "full_name"), ("project", "path_with_namespace")):
        value = payload.get(part)
        if isinstance(value, dict) and isinstance(value.get(name), str):
            return str(value[name])
    return None


def _is_about_the_repository(event: WebhookEvent) -> bool:
    return event.event in ("repository", "repo:updated", "repo:transfer")


async def process_again(event: WebhookEvent) -> WebhookEvent:
    """Process an event once more, by hand.

    Raises:
        NotFound: it went meanwhile.
    """
    for _ in range(20):
        done = await process(event)
        if done is not None:
            return done
        row = await WebhookEvent.raw().find_one({"_id": event.id})
        if row is None:
            break
        event = WebhookEvent.from_stored(row)
    raise NotFound("there is no such event")
