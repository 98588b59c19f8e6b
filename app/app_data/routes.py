"""Routes of app data. One value is read and written by hot endpoints, lists by a comfortable
route."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, Literal

from bson import ObjectId
from fastapi import Query, Request, Response

from app.app_data.lists import answered, find_query, key_page, query_page, span_of
from app.app_data.openapi import LIST_RESPONSE
from app.app_data.place import Place, loader_of
from app.app_data.quotas import rooms_of
from app.app_data.swaps import swaps_of
from app.app_data.values import (
    delete_value,
    patch_value,
    put_value,
    read_value,
    too_late,
    value_again,
)
from app.app_data.writes import WriteOptions, preference, write_options
from app.apps.registry import app_registry
from app.errors import Invalid
from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize, may
from app.relations.leases import Lease, leases
from app.users.service import expand_user
from app.web.body import dump_json
from app.web.cursors import decode_cursor
from app.web.etags import etag, list_etag, tag_of
from app.web.hot import Answer, Headers, HotEndpoint, HotRequest, json_answer, resolve
from app.web.idempotency import Claim, Repeated, check_repeat, claim_of
from app.web.openapi.answers import Expand, problems
from app.web.paging import Cursor, Limit
from app.web.patches import patch_kind
from app.web.preconditions import holds, http_date, known_as, precondition
from app.web.routing import Router
from models.app import NAME_RULE, AppId, is_name
from models.app_data_changes import Source, count_live
from models.app_data_written import Written
from models.base import Raw
from models.user import User

VALUE_PATH: Final = "/v1/users/{userId}/apps/{appId}/data/{dataKey}"
_WRITES: Final = ("ttl", "activity")
_MOST_KEYS: Final = 200
_PAGE_BYTES: Final = 8 * 1024 * 1024
_FIELDS: Final = frozenset({"dataKey", "value", "version", "createdAt", "updatedAt", "expiresAt"})

router = Router(prefix="/v1/users/{userId}/apps/{appId}", tags=["App data"])


async def _get(request: HotRequest) -> Answer:
    place = await _place(request)
    row = await read_value(place, loader_of(request.scope))
    tag = etag(row["version"], row["_id"])
    changed = (b"last-modified", http_date(row["updatedAt"]).encode())
    expected = precondition(
        request.header(b"if-match"), None, request.header(b"if-unmodified-since")
    )
    if not holds(expected, row["version"], tag_of(row["_id"]), row["updatedAt"]):
        raise await too_late(place, expected)
    if known := known_as(request.header(b"if-none-match"), tag):
        return 304, [(b"etag", known.encode()), changed], b""
    return json_answer(200, row["value"], [(b"etag", tag.encode()), changed])


async def _put(request: HotRequest) -> Answer:
    place = await _place(request)
    body = await request.body()
    try:
        options = await _options(request, place, await _claim(request, body))
        envelope, written = await put_value(place, body, options)
    except Repeated as done:
        return await _again(request, place, done, with_value=False)
    return _envelope_answer(
        201 if written.created else 200, envelope, written, _quota(place, options)
    )


async def _patch(request: HotRequest) -> Answer:
    place = await _place(request)
    kind = patch_kind(request.header(b"content-type"))
    body = await request.body()
    try:
        options = await _options(request, place, await _claim(request, body))
        envelope, written = await patch_value(place, kind, body, options)
    except Repeated as done:
        return await _again(request, place, done, with_value=True)
    return _envelope_answer(200, envelope, written, _quota(place, options))


async def _delete(request: HotRequest) -> Answer:
    place = await _place(request)
    told: Headers = []
    with suppress(Repeated):
        options = await _options(request, place, await _claim(request, b""))
        await delete_value(place, options)
        told = _quota(place, options)
    return 204, told, b""


async def _claim(request: HotRequest, body: bytes) -> Claim | None:
    """What a write claims by its Idempotency-Key; raises Repeated where that was done before."""
    key = request.header(b"idempotency-key")
    if key is None:
        return None
    claim = claim_of(await request.caller(), key, request.scope, body)
    await check_repeat(claim)
    return claim


async def _again(request: HotRequest, place: Place, done: Repeated, *, with_value: bool) -> Answer:
    """The answer to a repeat."""
    wish = preference(request.header(b"prefer"))
    wanted = with_value if wish is None else wish == "representation"
    envelope, key = await value_again(place, done, with_value=wanted)
    return json_answer(done.status, envelope, [(b"etag", etag(envelope["version"], key).encode())])


def _envelope_answer(
    status: int, envelope: dict[str, Any], written: Written, told: Headers
) -> Answer:
    return json_answer(
        status, envelope, [(b"etag", etag(written.version, written.id).encode()), *told]
    )


def _quota(place: Place, options: WriteOptions) -> Headers:
    """How much of the app's quota is used, where it has one."""
    if options.app.quota is None:
        return []
    told = place.rooms.headers(place.user_id, place.app_id, options.app.quota)
    return [(name.lower().encode(), value.encode()) for name, value in told.items()]


async def _place(request: HotRequest) -> Place:
    """What the path names, with the caller let pass; that the user exists is seen when the value is
    asked for."""
    principal = await request.caller()
    user_id, app_id = resolve(request, principal), request.path["appId"]
    lease = Lease(leases(request.scope), User, user_id)
    may_read = may(principal, "data:read", user_id=user_id)
    place = Place(
        user_id,
        app_id,
        request.path["dataKey"],
        principal.name,
        lease,
        rooms_of(request.scope),
        swaps_of(request.scope),
        may_read,
    )
    place.check()
    authorize(principal, request.needs, user_id=user_id, app_id=app_id)
    return place


async def _options(request: HotRequest, place: Place, claim: Claim | None) -> WriteOptions:
    app = await app_registry(request.scope).settings_of(place.app_id)
    sent = (
        request.header(name) for name in (b"if-match", b"if-none-match", b"if-unmodified-since")
    )
    expected = precondition(*sent)
    return write_options(app, expected, request.query(), request.header(b"prefer"), claim)


def hot_endpoints() -> list[HotEndpoint]:
    """What is served before FastAPI is asked."""
    handlers = {"GET": _get, "PUT": _put, "PATCH": _patch, "DELETE": _delete}
    access = {
        "GET": owner_or("data:read"),
        **dict.fromkeys(("PUT", "PATCH", "DELETE"), owner_or("data:write")),
    }
    query = {"PUT": _WRITES, "PATCH": _WRITES, "DELETE": ("activity",)}
    return [HotEndpoint(VALUE_PATH, handlers, access, query)]


Prefix = Annotated[str, Query(max_length=256, description="Only keys that start so.")]
Keys = Annotated[
    str | None,
    Query(max_length=52_000, description="Only these keys, up to 200 with commas between them."),
]
Count = Annotated[bool, Query(description="Tell how many there are on all pages.")]
Asked = Annotated[
    str | None,
    Query(
        max_length=256,
        description="A query that the app's settings declare: its values in its order.",
    ),
]
Least = Annotated[
    str | None,
    Query(
        alias="from",
        max_length=1024,
        description=(
            "Of a query: only values whose first pointer names this or what sorts after it. JSON;"
            " what is no JSON is a string as it stands."
        ),
    ),
]
Below = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=1024,
        description="Of a query: only values whose first pointer names less than this.",
    ),
]
Order = Annotated[
    Literal["asc", "desc"] | None,
    Query(description="Of a query: `desc` turns the declared order round."),
]
Fields = Annotated[
    str | None,
    Query(
        max_length=256, description="Comma-separated names of the envelope to give; all if absent."
    ),
]


@router.get(
    "/data",
    access=owner_or("data:read"),
    operation_id="listAppData",
    summary="List an app's data",
    responses=LIST_RESPONSE | problems(409),
)
async def list_app_data(
    userId: str,
    appId: AppId,
    request: Request,
    caller: Caller,
    prefix: Prefix = "",
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    expand: Expand = None,
    keys: Keys = None,
    count: Count = False,
    query: Asked = None,
    least: Least = None,
    below: Below = None,
    order: Order = None,
) -> Response:
    """The live values of an app in the order of their keys, each in its envelope; with `query`
    those of a declared query in its order, from its index. One that is not built yet is answered
    409 `index_building`.

    A page has at most 8 MiB of values besides `limit`, or one value: follow `nextCursor` until it
    is null, also over an empty page. Its ETag is another as soon as anything on it has changed;
    with `expand` it has none.
    """
    user_id = caller.resolve(userId)
    authorize(caller, "data:read", user_id=user_id, app_id=appId)
    if expand:
        authorize(caller, "users:read", user_id=user_id)
    await leases(request.scope).hold(User, user_id)
    shown: dict[str, Any] = {"limit": limit, "most_bytes": _PAGE_BYTES, "fields": _wanted(fields)}
    if query is not None:
        _alone(prefix=prefix, keys=keys, count=count)
        asked = await find_query(appId, query), span_of(least, below), order == "desc"
        read = partial(query_page, user_id, appId, *asked, cursor, **shown)
    elif (least, below, order) == (None, None, None):
        after, named = decode_cursor(cursor, str), _named(keys)
        where = {"prefix": prefix, "after": after[0] if after else None, "keys": named}
        read = partial(key_page, user_id, appId, **where, **shown)
    else:
        raise Invalid.field("?query", "missing", "from, to and order are of a query")
    more: dict[str, Any] = {}
    if count:
        more["count"] = await count_live(Source(user_id, appId, prefix), _named(keys))
    user = {"user": await expand_user(user_id)} if expand else {}

    def answer(items: list[Raw], following: str | None) -> Response:
        shown = [row | user for row in items] if user else items
        body = {"items": shown, "nextCursor": following, **more}
        return _listed(request, user_id, body, has_tag=not expand)

    return await answered(read, answer)


def _alone(**others: object) -> None:
    """Raises Invalid where a query comes with another way of saying what is listed."""
    for name, value in others.items():
        if value:
            raise Invalid.field(f"?{name}", "conflicting", f"a query goes without {name}")


def _listed(
    request: Request, user_id: ObjectId, body: dict[str, Any], *, has_tag: bool
) -> Response:
    """A page with its ETag, or 304 where the client has it. The tag names the person, whom a path
    with `me` does not."""
    if not has_tag:
        return Response(dump_json(body), media_type="application/json")
    versions = [(row["dataKey"], row["version"]) for row in body["items"]]
    whose = [str(user_id), request.url.path, request.url.query]
    told = [*whose, versions, body["nextCursor"], body.get("count")]
    tag = list_etag(max((version for _, version in versions), default=0), dump_json(told))
    if known := known_as(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={"ETag": known})
    return Response(dump_json(body), media_type="application/json", headers={"ETag": tag})


def _named(keys: str | None) -> list[str] | None:
    if keys is None:
        return None
    names = list(dict.fromkeys(keys.split(",")))
    if len(names) > _MOST_KEYS:
        raise Invalid.field("?keys", "too_many", f"name at most {_MOST_KEYS} keys")
    if not all(map(is_name, names)):
        raise Invalid.field("?keys", "malformed", f"a key has {NAME_RULE}")
    return names


def _wanted(fields: str | None) -> list[str] | None:
    if fields is None:
        return None
    names = [name.strip() for name in fields.split(",")]
    if unknown := sorted(set(names) - _FIELDS):
        raise Invalid.field(
            "?fields", "unknown", f"there is no field {unknown[0]!r}: {', '.join(sorted(_FIELDS))}"
        )
    return names
