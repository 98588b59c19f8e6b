"""What HTTP asks of every route: strict bodies, ETags and preconditions, patches, cursors, problem responses."""

import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Generic, Protocol, TypeVar

from bson import ObjectId
from fastapi import Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.body import parse_json, refuse_packed
from app.cursors import bind_cursors, decode_cursor, encode_cursor
from app.errors import FIELD_CODES, Code, Invalid, NotFound, Problem, ResultGone, VersionMismatch
from app.etags import etag, plain, tag_of
from app.principal import asks_for_caller, authenticate
from app.queries import check_query, query_names
from app.rights import collecting
from models.base import Raw, Stored
from models.precondition import Expected

T = TypeVar("T")
MAX_PAGE: Final = 200
_JSON_TYPE: Final = (b"content-type", b"application/json")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
REPEATS: Final = "satchel.repeats"
"""In a request's scope: whether it repeats, by its Idempotency-Key, one that was done."""
GONE: Final = "an earlier request with this Idempotency-Key was done, and what it wrote is not there any more"
_VERSION: Final = re.compile(r'"([1-9][0-9]{0,17})(?:\.([A-Za-z0-9_-]{1,64}))?"')


class StrictRequest(Request):
    """A request whose JSON is parsed by `parse_json`."""

    async def json(self) -> Any:
        """The body's value; raises the problems of `parse_json`."""
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that takes JSON whatever its Content-Type says, by `parse_json`, and no query parameter that it does not
    declare, or twice: every router of ours is made with it. A subclass with `any_query = True` takes any parameter.

    The caller is asked for before the body is read: FastAPI by itself reads and parses whatever anybody sends.
    """

    any_query: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a `StrictRequest`."""
        handler = super().get_route_handler()
        takes_json = self.body_field is not None
        names, lists = query_names(self.dependant)
        known = None if self.any_query else names
        is_list = "cursor" in names
        has_caller = asks_for_caller(self.dependant)

        async def strict(request: Request) -> Response:
            with collecting():
                return await answer(request)

        async def answer(request: Request) -> Response:
            scope = request.scope
            if takes_json:  # `curl -d` calls everything a form, and many a client sends no type at all
                scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != b"content-type"), _JSON_TYPE]
            if has_caller:
                await authenticate(scope)
            if known is not None and scope["query_string"]:
                check_query((name for name, _ in request.query_params.multi_items()), known, lists)
            if request.method in _WITH_BODY:
                refuse_packed(request.headers.get("content-encoding"))
            if is_list:
                bind_cursors(scope, request.query_params.multi_items())
            try:
                return await handler(StrictRequest(scope, request.receive))
            except ClientDisconnect:
                return Response()  # to nobody
            except NotFound:
                if scope.get(REPEATS):
                    raise ResultGone(GONE) from None
                raise
            except HTTPException as error:  # FastAPI makes a 400 of whatever a body's parser raises
                if isinstance(error.__cause__, Problem):
                    raise error.__cause__ from None
                if isinstance(error.__cause__, ClientDisconnect):
                    return Response()  # to nobody
                raise

        return strict


def versions_of(header: str) -> Expected:
    """What an `If-Match` demands (RFC 9110, section 13.1): whole tags, bare versions, or `*`.

    A tag that is none of ours matches nothing and is left out; so is a weak one, since writes compare strongly.

    Raises:
        Invalid: the header is no list of entity tags.
    """
    if header.strip() == "*":
        return Expected()
    tags = [tag.strip() for tag in header.split(",")]
    if not all(_is_tag(tag) for tag in tags):
        raise Invalid.field("header:If-Match", "malformed", "send an ETag as it was sent to you, quotes and all, or *")
    found = [match for tag in tags if (match := _VERSION.fullmatch(plain(tag)))]
    return Expected(
        versions=tuple(int(match[1]) for match in found if match[2] is None),
        tags=tuple((int(match[1]), match[2]) for match in found if match[2] is not None),
        weak=all(tag.startswith("W/") for tag in tags),
    )


def _is_tag(tag: str) -> bool:
    opaque = tag.removeprefix("W/")
    return len(opaque) >= 2 and opaque[0] == opaque[-1] == '"' and '"' not in opaque[1:-1]


def precondition(if_match: str | None, if_none_match: str | None, since: str | None = None) -> Expected | None:
    """What the headers of a write demand of the stored document; None where they demand nothing.

    `If-Unmodified-Since` counts where neither of the others is sent (RFC 9110, section 13.2.2).

    Raises:
        Invalid: a header is malformed, both are there, or `If-None-Match` is not `*`.
    """
    if if_match is None and if_none_match is None:
        return None if since is None else Expected(changed_before=_second_after(since))
    if if_match is not None and if_none_match is not None:
        raise Invalid.field("header:If-None-Match", "conflicting", "send If-Match or If-None-Match, not both")
    if if_match is not None:
        return versions_of(if_match)
    if if_none_match is None or if_none_match.strip() != "*":
        raise Invalid.field("header:If-None-Match", "malformed", "a write takes If-None-Match: * only")
    return Expected(absent=True)


def request_precondition(request: Request) -> Expected | None:
    """`precondition` of a request."""
    names = ("if-match", "if-none-match", "if-unmodified-since")
    return precondition(*(_header(request, name) for name in names))


def _second_after(date: str) -> datetime:
    """The end of the second that a header's HTTP date names: what is shown as changed then was changed within it."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)) + timedelta(seconds=1)
    except (ValueError, TypeError, OverflowError):
        detail = "send the Last-Modified that you have, such as Fri, 20 Nov 2026 08:30:00 GMT"
        raise Invalid.field("header:If-Unmodified-Since", "malformed", detail) from None


def _header(request: Request, name: str) -> str | None:
    """A header's value, its lines joined to a list (RFC 9110, section 5.3); None where it was not sent."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def holds(expected: Expected | None, version: int, tag: str, changed: datetime) -> bool:
    """Whether a precondition holds for a document that is there: its version, tag (`tag_of`) and last change."""
    if expected is None:
        return True
    if expected.changed_before is not None and changed >= expected.changed_before:
        return False
    versions = expected.of(tag).versions
    return not expected.absent and (versions is None or version in versions)


def require(expected: Expected | None, shown: Mapping[str, Any], changed: datetime | None = None) -> None:
    """See that a precondition holds for a document that is there, shown as `GET` sends it, with `id` and `version`.

    Args:
        expected: the precondition.
        shown: the document.
        changed: when it last was, where it does not show `updatedAt`.

    Raises:
        VersionMismatch: it does not.
    """
    if expected is None:
        return
    if not holds(expected, shown["version"], tag_of(shown["id"]), changed or _changed(shown)):
        raise mismatch(expected, shown)


def _changed(shown: Mapping[str, Any]) -> datetime:
    """When a document was changed; a read of one that does not show it is refused for no date (RFC 9110, 13.1.4)."""
    return datetime.fromisoformat(shown.get("updatedAt", "1970-01-01T00:00:00Z"))


def mismatch(
    expected: Expected | None, shown: Mapping[str, Any] | None, key: ObjectId | str | None = None, kind: str = ""
) -> VersionMismatch:
    """The problem of a precondition that does not hold.

    Args:
        expected: the precondition.
        shown: the document as `GET` sends it; None where there is none.
        key: its `_id`, where that is not shown.
        kind: of the representation, where callers see different ones.
    """
    tag = etag(shown["version"], shown["id"] if key is None else key, kind) if shown else None
    absent, weak = (expected.absent, expected.weak) if expected else (False, False)
    return VersionMismatch(shown, etag=tag, absent=absent, weak=weak)


def known_as(if_none_match: str | None, tag: str) -> str | None:
    """The tag by which a reader has what this ETag names already, packed or not: that of the 304 that will do.

    None where the reader does not have it. Tags are compared weakly. A 304 with a tag that the reader did not send
    would tell its cache to keep nothing (RFC 9111, section 4.3.4).
    """
    if if_none_match is None:
        return None
    tags = [sent.strip().removeprefix("W/") for sent in if_none_match.split(",")]
    if "*" in tags:
        return tag
    return next((sent for sent in tags if plain(sent) == tag), None)


class Identified(Protocol):
    """A view that shows its document's id."""

    id: Any


S = TypeVar("S", bound=Identified)


def conditional(
    request: Request, response: Response, version: int, body: S, kind: str = "", changed: datetime | None = None
) -> S | Response:
    """The answer to a read of one document: with its ETag, or 304 where the client has it.

    Args:
        request: of the client.
        response: takes the ETag.
        version: of the document.
        body: the document as it is sent.
        kind: of the representation, where callers see different ones.
        changed: when it last was, where it does not show `updatedAt`.
    """
    tag = etag(version, body.id, kind)
    _see_that_read_is_wanted(request, version, body, kind, changed)
    if known := known_as(_header(request, "if-none-match"), tag):
        return Response(status_code=304, headers={"ETag": known})
    response.headers["ETag"] = tag
    return body


def _see_that_read_is_wanted(
    request: Request, version: int, body: Identified, kind: str, changed: datetime | None
) -> None:
    """See that a read's `If-Match` or `If-Unmodified-Since` holds; raises VersionMismatch."""
    expected = precondition(_header(request, "if-match"), None, _header(request, "if-unmodified-since"))
    if expected is None or not isinstance(body, BaseModel):
        return
    shown = {**body.model_dump(mode="json", by_alias=True), "version": version}
    if not holds(expected, version, tag_of(shown["id"], kind), changed or _changed(shown)):
        raise mismatch(expected, shown, kind=kind)


def http_date(moment: datetime) -> str:
    """`Fri, 20 Nov 2026 08:30:00 GMT` (RFC 9110, section 5.6.7)."""
    return _http_date(int(moment.timestamp()))


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


class Page(BaseModel, Generic[T]):
    """One page of a list; `nextCursor` fetches the next, null on the last."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, json_schema_serialization_defaults_required=True
    )
    items: list[T]
    next_cursor: Annotated[str | None, Field(alias="nextCursor")] = None


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="`nextCursor` of the page before.")]


def page(items: list[T], limit: int, key: Callable[[T], tuple[Any, ...]]) -> tuple[list[T], str | None]:
    """Cut a list that was asked for with one more than `limit` to its page, and the cursor of the next."""
    if len(items) <= limit:
        return items, None
    kept = items[:limit]
    return kept, encode_cursor(*key(kept[-1]))


async def newest(
    document: type[Stored], where: Mapping[str, Any], limit: int, cursor: str | None
) -> tuple[list[Raw], str | None]:
    """A page of the stored rows that match, the newest id first, and the cursor of the next page (`decode_cursor`)."""
    before = decode_cursor(cursor, ObjectId)
    rows = await document.list_newest(where, limit + 1, before[0] if before else None)
    return page(rows, limit, lambda row: (row["_id"],))


class FieldError(BaseModel):
    """One field that is wrong: `pointer` names it in the body (RFC 6901), or as `?name` in the query, `header:Name`."""

    pointer: str
    code: Annotated[
        str,
        Field(json_schema_extra={"enum": list(FIELD_CODES)}, description="What is wrong with it. More may be added."),
    ]
    detail: str


class ProblemBody(BaseModel):
    """A problem (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: Annotated[
        Code, Field(description="What happened. More may be added: go by `status` where one is new to you.")
    ]
    request_id: Annotated[str, Field(alias="requestId")]
    errors: list[FieldError] = Field(default_factory=list)


def _described(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}


IF_MATCH: Final = _described(
    "If-Match", 'The ETag that must be current, or a bare version such as `"3"`, or `*`; else 412.'
)
IF_UNMODIFIED_SINCE: Final = _described(
    "If-Unmodified-Since", "The `Last-Modified` or `updatedAt` that the client has, as an HTTP date; 412 if it changed."
)
IF_NONE_MATCH: Final = _described("If-None-Match", "`*`: nothing must be stored; else 412.")
KNOWN: Final = _described("If-None-Match", "The ETag that the client has; 304 if it is current.")
ETAG: Final = {"ETag": {"schema": {"type": "string"}, "description": "Version and tag of the document, quoted."}}

_SAYS: Final[Mapping[int, str]] = {
    400: "A field refers to something that is not there or belongs to another account",
    401: "No credentials, or bad ones",
    403: "The caller lacks the scope",
    404: "There is no such thing, or none that the caller may see",
    406: "No media type that the client accepts can be sent",
    408: "The body did not arrive in time",
    409: "A unique value is taken, or the request is in conflict with what is stored",
    412: "The precondition does not hold; `current` is what is stored",
    413: "The body is too large",
    415: "The body is of a type that is not taken here",
    422: "The input is not acceptable; `errors` names the fields",
    428: "The app takes no write without a precondition",
    429: "Too many requests; see Retry-After",
    503: "Overloaded, or the database cannot be reached; see Retry-After",
}
EVERYWHERE: Final = (401, 403, 404, 408, 413, 415, 422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route answers with, those that every route has among them."""
    return {status: _problem(status) for status in sorted({*EVERYWHERE, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": "#/components/schemas/ProblemBody"}
    if status != 412:
        return {"description": _SAYS[status], "content": {"application/problem+json": {"schema": schema}}}
    return mismatch_of({})[412]


def mismatch_of(current: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of a 412.

    Args:
        current: the schema of what is stored; empty where it is what `GET` answers with, as `app.openapi` finds.
    """
    content = {"application/problem+json": {"schema": {"properties": {"current": current}}}}
    return {412: {"description": _SAYS[412], "headers": ETAG, "content": content}}


NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "The client has this version"}}
PATCHED: Final = problems(409, 412)
Expand = Annotated[str | None, Query(pattern="^user$", description="`user` embeds the user.")]
