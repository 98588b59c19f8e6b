"""Segment's HTTP API: `/v1/batch` and the six single calls, as hot endpoints for clients that know
nothing of us."""

import binascii
import zlib
from base64 import b64decode
from typing import Any, Final

from app.analytics.ingest.events import store
from app.analytics.ingest.identities import note_identities
from app.analytics.ingest.intake import intake
from app.analytics.ingest.segment import KINDS, MAX_ITEMS, events_of, identities_of
from app.analytics.ingest.write_keys import is_write_key
from app.errors import (
    Forbidden,
    Invalid,
    MalformedJson,
    Problem,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)
from app.identity.access import keys
from app.identity.authenticator import authenticator
from app.identity.principal import Principal, authorize
from app.web.body import MAX_BODY_BYTES, parse_json
from app.web.hot import ANY_QUERY, Answer, HotEndpoint, HotRequest, json_answer
from models.app import is_name
from models.base import now

ALIASES: Final = {
    "/v1/batch": ("/v1/b", "/beacon/v1/batch"),
    **{f"/v1/{kind}": (f"/v1/{kind[0]}",) for kind in KINDS},
}
"""Path -> where browsers' libraries send the same: `@segment/analytics-next` by one letter,
RudderStack's beacon."""

_DONE: Final = {"success": True}  # exactly this with 200, or clients send the batch again
_BASIC: Final = "basic "
_GZIP: Final = 16 + zlib.MAX_WBITS


def segment_endpoints() -> list[HotEndpoint]:
    """One endpoint a kind of call."""
    return [
        HotEndpoint(
            path,
            {"POST": _receive},
            {"POST": keys("events:write")},
            ANY_QUERY,
            aliases=aliases,
            any_origin=True,
        )
        for path, aliases in ALIASES.items()
    ]


async def _receive(request: HotRequest) -> Answer:
    """Take a batch, or a single call. A problem carries `code` and `message`, as Segment's clients
    expect."""
    try:
        await _take(request)
    except Problem as problem:
        problem.extra.setdefault("message", problem.detail or problem.code.value)
        raise
    return json_answer(200, _DONE)


async def _take(request: HotRequest) -> None:
    known = await _caller_by_head(request)
    body = parse_json(_inflated(request, await request.body(packed=True)))
    if not isinstance(body, dict):
        raise MalformedJson("the body is an object")
    principal = known or await _caller(request, f"Bearer {body.get('writeKey')}")
    app_id = _app_of(request, principal)
    authorize(principal, "events:write", app_id=app_id)
    items = _items(request.scope["satchel.route"], body)
    process = intake(request.scope)
    received = now()
    good, bad = events_of(items, app_id, body.get("sentAt"), received)
    await store(principal, good, bad, process, lenient=True)
    await note_identities(principal, identities_of(good, app_id), process)


async def _caller_by_head(request: HotRequest) -> Principal | None:
    """By the header, or by `?writeKey=` where a beacon can send none; None where the body has to
    say it."""
    if (header := request.header(b"authorization")) is not None:
        return await _caller(request, header)
    if (key := request.query().get("writeKey")) is None:
        return None
    principal = await _caller(request, f"Bearer {key}")
    if not is_write_key(principal):
        raise Forbidden(
            "of keys, write keys alone may stand in a URL: they can add events and do nothing else"
        )
    return principal


def _items(path: str, body: dict[str, Any]) -> list[Any]:
    if path != "/v1/batch":
        return [{**body, "type": path.removeprefix("/v1/")}]
    items = body.get("batch")
    if not isinstance(items, list):
        raise Invalid.field("/batch", "malformed", "batch is an array")
    if len(items) > MAX_ITEMS:
        raise Invalid.field("/batch", "too_long", f"a request has at most {MAX_ITEMS} events")
    return items


async def _caller(request: HotRequest, header: str) -> Principal:
    """By Basic authorization with the write key as user name, or by Bearer."""
    if header[: len(_BASIC)].lower() == _BASIC:
        header = f"Bearer {_user_name(header[len(_BASIC) :])}"
    principal = await authenticator(request.scope).authenticate(header)
    request.scope["satchel.caller"] = principal.name
    if principal.kind != "key":
        raise Forbidden("this needs a write key")
    return principal


def _user_name(encoded: str) -> str:
    try:
        return b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("send the write key as user name of Basic authorization") from None


def _app_of(request: HotRequest, principal: Principal) -> str:
    """The app of the write key; a key that is bound to none names it by `?appId=`."""
    app_id = request.query().get("appId") or principal.app_id
    if app_id is None or not is_name(app_id):
        raise Invalid.field("?appId", "missing", "use a key that is bound to an app, or name one")
    return app_id


def _inflated(request: HotRequest, body: bytes) -> bytes:
    """The body, unpacked where it is packed; never more than a body may have."""
    encoding = (request.header(b"content-encoding") or "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMediaType(
            "send the body as it is, or packed by gzip", headers={"Accept-Encoding": "gzip"}
        )
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise MalformedJson("the body is not valid gzip") from None
    if len(plain) > MAX_BODY_BYTES or stream.unconsumed_tail:
        raise TooLarge(f"a body has at most {MAX_BODY_BYTES} bytes when unpacked")
    if not stream.eof:
        raise MalformedJson("the body is not valid gzip")
    return plain
