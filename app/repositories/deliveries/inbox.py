"""The inbox of webhooks: signed as each host signs, stored once before they are answered, processed
by the worker.

An id that nobody has and a signature that is none of ours are answered alike, so that ids cannot be
tried out.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyio import to_thread
from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.database import transaction
from app.errors import Invalid, NotFound
from app.outside.keyring import KeyRing, SealedError
from app.outside.signatures import BadSignature, Signing, is_token
from app.relations.guards import check_references
from app.repositories.deliveries.cutting import cut
from app.repositories.deliveries.reading import Delivery, Room, read, room_needed
from app.repositories.hosts.host import GitHost, Told
from app.repositories.hosts.registry import HOSTS, is_about_the_repository, service_named, told_by
from app.repositories.hosts.urls import host_id, renamed, stored_repository
from app.repositories.links import opened
from app.settings import Settings
from app.web.admission.line import refusal
from app.web.body import parse_json
from app.web.observability import log
from models.base import now
from models.repository_connection import RepositoryConnection
from models.webhook_event import LOST, EventStatus, WebhookEvent

_LONGEST: Final = 256


@dataclass(frozen=True, slots=True)
class Stored:
    """A delivery in the inbox, and whether it was there before."""

    id: ObjectId
    duplicate: bool


async def receive(
    service: str,
    connection_id: ObjectId | None,
    headers: Mapping[str, str],
    stream: AsyncIterator[bytes],
    keyring: KeyRing,
    room: Room,
    source: str | None = None,
) -> Stored:
    """Verify a delivery while it comes, and store it.

    Args:
        service: as in the path.
        connection_id: as in the path.
        headers: by names in lower case.
        stream: the body as it is sent, since that is what is signed.
        keyring: opens the secrets.
        room: for large ones.
        source: the neighbourhood that it comes from.

    Raises:
        BadSignature: it is not signed with a secret of such a connection that is active.
        Invalid: it has no delivery id, or its body is no JSON object.
        Unavailable: it is large, and there was no room to keep it: its connection tells that one
            was lost.
    """
    asked = await _asked_of(service, connection_id, headers, keyring)
    signing, is_known = Signing(asked.secrets), asked.sends_secret
    needed = room_needed(headers.get("content-length")) if asked.connection else 0
    async with room.hold(needed, connection_id, source=source, is_verified=is_known) as claim:
        delivery = await read(stream, signing, claim)
        if asked.connection is None or not _is_signed(asked.host, headers, signing):
            raise BadSignature
        await room.verified(claim)
        event = _event(asked.connection, asked.host, headers, delivery)
        if delivery.parts is None or claim.is_given_up:
            await _lose(event)
            raise refusal("too many large deliveries at once")
        event.payload = await _payload(delivery, room)
        event.bytes_cut = delivery.size if delivery.is_large else None
    return await _store(event)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom a delivery is for, as far as its head tells.

    Attributes:
        host: how it is read.
        connection: None where it cannot be one of ours, whatever it is signed with.
        secrets: that it may be signed with.
        sends_secret: its host sends the secret itself.
    """

    host: type[GitHost]
    connection: RepositoryConnection | None
    secrets: list[str]
    sends_secret: bool


async def _asked_of(
    service: str, connection_id: ObjectId | None, headers: Mapping[str, str], keyring: KeyRing
) -> _Asked:
    kind = service_named(service)
    host = HOSTS[kind] if kind else GitHost
    sent = host.secret_sent(headers)
    found = await RepositoryConnection.find_by_id(connection_id) if kind and connection_id else None
    if found is None or found.service_type != kind or not found.is_active:
        return _Asked(host, None, [], sends_secret=sent is not None)
    secrets = _secrets(found, keyring)
    may_be_ours = sent is None or is_token(sent, secrets)
    return _Asked(host, found if may_be_ours else None, secrets, sends_secret=sent is not None)


def _event(
    connection: RepositoryConnection,
    host: type[GitHost],
    headers: Mapping[str, str],
    delivery: Delivery,
) -> WebhookEvent:
    """A delivery as it is listed, still without its payload."""
    return WebhookEvent(
        connection_id=PydanticObjectId(connection.id),
        delivery_id=_delivery_id(host, headers, delivery.digest),
        digest=delivery.digest if host.SIGNATURE_HEADER else None,
        event=_header(headers, host.EVENT_HEADER),
        payload={},
    )


async def _payload(delivery: Delivery, room: Room) -> dict[str, Any]:
    """What is kept of a payload: all of a small one."""
    parts = delivery.parts or []
    if delivery.is_large:
        async with room.cutting:
            return await to_thread.run_sync(cut, parts)
    payload = parse_json(b"".join(parts))
    if not isinstance(payload, dict):
        raise Invalid.field("", "malformed", "a delivery is a JSON object")
    return payload


async def _lose(event: WebhookEvent) -> None:
    """Note a delivery that was not kept: it is listed, and the health check tells of it at once."""
    lost = {"status": "failed", "error": LOST, "digest": None, "processed_at": now()}
    if not (await _store(event.model_copy(update=lost))).duplicate:
        due = {"$set": {"nextHealthCheckAt": now()}}
        await RepositoryConnection.raw().update_one(
            {"_id": event.connection_id, "isActive": True}, due
        )


async def _store(event: WebhookEvent) -> Stored:
    event_id = ObjectId()

    async def work(session: AsyncClientSession) -> None:
        row = event.stored() | {"_id": event_id}
        await check_references(WebhookEvent, row, session)
        await WebhookEvent.raw().insert_one(row, session=session)

    try:
        await transaction(work)
    except DuplicateKeyError:
        return await _stored_before(event, event_id)
    except NotFound:
        raise BadSignature from None
    return Stored(event_id, duplicate=False)


async def _stored_before(event: WebhookEvent, event_id: ObjectId) -> Stored:
    """What there is of a delivery that came before; one that was lost is filled."""
    if event.error != LOST and (refilled := await event.refill()) is not None:
        return Stored(ObjectId(refilled.id), duplicate=False)
    same = {"connectionId": event.connection_id}
    for name, value in (("deliveryId", event.delivery_id), ("digest", event.digest)):
        row = await WebhookEvent.raw().find_one({**same, name: value}, {"_id": 1})
        if row:
            return Stored(row["_id"], duplicate=True)
    return Stored(event_id, duplicate=True)


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


def _is_signed(host: type[GitHost], headers: Mapping[str, str], signing: Signing) -> bool:
    """Whether a delivery is signed as its host signs; one that sends the secret has been seen to
    know it."""
    return host.SIGNATURE_HEADER is None or signing.gave(host.signature_sent(headers) or "")


def _delivery_id(host: type[GitHost], headers: Mapping[str, str], digest: str) -> str:
    return _checked(host.DELIVERY_HEADER, host.delivery_id(headers, digest))


def _header(headers: Mapping[str, str], name: str) -> str:
    return _checked(name, headers.get(name))


def _checked(name: str, value: str | None) -> str:
    value = (value or "").strip()
    if not 0 < len(value) <= _LONGEST:
        raise Invalid.field(f"header:{name}", "missing", f"a delivery has the header {name}")
    return value


async def process(event: WebhookEvent, settings: Settings) -> WebhookEvent | None:
    """Take an event into account: it shows that the connection works, or that something has to be
    looked at.

    A rename from the stored name moves it. Whatever else is told under another name makes the host
    be asked: deliveries come late, twice and out of order, so that their names may be of before.

    Returns:
        The event as it is then; None where somebody else was faster.
    """
    connection = await RepositoryConnection.find_by_id(ObjectId(event.connection_id))
    if connection is None:
        return None
    told = told_by(connection.service_type, event.event, event.payload)
    url = _new_url(told, connection, settings)
    try:
        return await _settle(event, connection, told, url)
    except DuplicateKeyError:  # the name is another connection's: the host is asked whose it is
        return await _settle(event, connection, told, None)


async def _settle(
    event: WebhookEvent, connection: RepositoryConnection, told: Told, url: str | None
) -> WebhookEvent | None:
    ours, moment = _is_ours(told, connection), now()
    fields: dict[str, Any] = {"lastDeliveryAt": event.received_at}
    if ours:
        fields["lastSyncAt"] = moment
    if (
        not ours
        or is_about_the_repository(connection.service_type, event.event)
        or told.path not in (None, _path(connection))
    ):
        fields["nextHealthCheckAt"] = moment

    verdict: tuple[EventStatus, str | None] = (
        ("processed", None) if ours else ("failed", "another_repository")
    )

    async def work(session: AsyncClientSession) -> WebhookEvent | None:
        settled = await event.settle(*verdict, session)
        if settled is not None:
            where: dict[str, Any] = {"_id": connection.id, "isActive": True}
            await RepositoryConnection.change(where, fields, session=session)
            if url is not None:
                where["repositoryUrl"] = connection.repository_url
                await RepositoryConnection.change(where, {"repositoryUrl": url}, session=session)
        return settled

    return await transaction(work)


def _is_ours(told: Told, connection: RepositoryConnection) -> bool:
    """Whether an event is of the repository that is connected: by its id where both are known, else
    by its name."""
    known = host_id(connection.remote_id)
    if known is not None and told.id is not None:
        return told.id == known
    return told.path is None or _path(connection) in (told.path, told.before)


def _new_url(told: Told, connection: RepositoryConnection, settings: Settings) -> str | None:
    """The URL that a rename gives to the repository that is connected; None where it is of another
    name, or none."""
    repository = stored_repository(connection.repository_url, connection.service_type, settings)
    if repository is None or told.before != repository.path or not _is_ours(told, connection):
        return None
    url = renamed(repository, told.path, settings).url
    return None if url == repository.url else url


def _path(connection: RepositoryConnection) -> str:
    return connection.repository_url.split("/", 3)[3]


async def process_again(event: WebhookEvent, settings: Settings) -> WebhookEvent:
    """Process an event once more, by hand.

    Raises:
        NotFound: it went meanwhile.
    """
    for _ in range(20):
        done = await process(event, settings)
        if done is not None:
            return done
        row = await WebhookEvent.raw().find_one({"_id": event.id})
        if row is None:
            break
        event = WebhookEvent.from_stored(row)
    raise NotFound("there is no such event")
