"""ETags and dates as conditions of a read or a write (RFC 9110, section 13)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from bson import ObjectId
from fastapi import Request, Response
from pydantic import BaseModel

from app.errors import Invalid, VersionMismatch
from app.web.etags import etag, plain, tag_of
from models.precondition import Expected

_VERSION: Final = re.compile(r'"([1-9][0-9]{0,17})(?:\.([A-Za-z0-9_-]{1,64}))?"')


def versions_of(header: str) -> Expected:
    """What an `If-Match` demands (RFC 9110, section 13.1): whole tags, bare versions, or `*`.

    A tag that is none of ours matches nothing and is left out; so is a weak one, since writes
    compare strongly.

    Raises:
        Invalid: the header is no list of entity tags.
    """
    if header.strip() == "*":
        return Expected()
    tags = [tag.strip() for tag in header.split(",")]
    if not all(_is_tag(tag) for tag in tags):
        raise Invalid.field(
            "header:If-Match",
            "malformed",
            "send an ETag as it was sent to you, quotes and all, or *",
        )
    found = [match for tag in tags if (match := _VERSION.fullmatch(plain(tag)))]
    return Expected(
        versions=tuple(int(match[1]) for match in found if match[2] is None),
        tags=tuple((int(match[1]), match[2]) for match in found if match[2] is not None),
        weak=all(tag.startswith("W/") for tag in tags),
    )


def _is_tag(tag: str) -> bool:
    opaque = tag.removeprefix("W/")
    return len(opaque) >= 2 and opaque[0] == opaque[-1] == '"' and '"' not in opaque[1:-1]


def precondition(
    if_match: str | None, if_none_match: str | None, since: str | None = None
) -> Expected | None:
    """What the headers of a write demand of the stored document; None where they demand nothing.

    `If-Unmodified-Since` counts where neither of the others is sent (RFC 9110, section 13.2.2).

    Raises:
        Invalid: a header is malformed, both are there, or `If-None-Match` is not `*`.
    """
    if if_match is None and if_none_match is None:
        return None if since is None else Expected(changed_before=_second_after(since))
    if if_match is not None and if_none_match is not None:
        raise Invalid.field(
            "header:If-None-Match", "conflicting", "send If-Match or If-None-Match, not both"
        )
    if if_match is not None:
        return versions_of(if_match)
    if if_none_match is None or if_none_match.strip() != "*":
        raise Invalid.field(
            "header:If-None-Match", "malformed", "a write takes If-None-Match: * only"
        )
    return Expected(absent=True)


def request_precondition(request: Request) -> Expected | None:
    """`precondition` of a request."""
    names = ("if-match", "if-none-match", "if-unmodified-since")
    return precondition(*(_header(request, name) for name in names))


def _second_after(date: str) -> datetime:
    """The end of the second that a header's HTTP date names: what is shown as changed then was
    changed within it."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)) + timedelta(seconds=1)
    except (ValueError, TypeError, OverflowError):
        detail = "send the Last-Modified that you have, such as Fri, 20 Nov 2026 08:30:00 GMT"
        raise Invalid.field("header:If-Unmodified-Since", "malformed", detail) from None


def _header(request: Request, name: str) -> str | None:
    """A header's value, its lines joined to a list (RFC 9110, section 5.3); None where it was not
    sent."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def holds(expected: Expected | None, version: int, tag: str, changed: datetime) -> bool:
    """Whether a precondition holds for a document that is there: its version, tag (`tag_of`) and
    last change."""
    if expected is None:
        return True
    if expected.changed_before is not None and changed >= expected.changed_before:
        return False
    versions = expected.of(tag).versions
    return not expected.absent and (versions is None or version in versions)


def require(
    expected: Expected | None, shown: Mapping[str, Any], changed: datetime | None = None
) -> None:
    """See that a precondition holds for a document that is there, shown as `GET` sends it, with
    `id` and `version`.

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
    """When a document was changed; a read of one that does not show it is refused for no date (RFC
    9110, 13.1.4)."""
    return datetime.fromisoformat(shown.get("updatedAt", "1970-01-01T00:00:00Z"))


def mismatch(
    expected: Expected | None,
    shown: Mapping[str, Any] | None,
    key: ObjectId | str | None = None,
    kind: str = "",
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
    """The tag by which a reader has what this ETag names already, packed or not: that of the 304
    that will do.

    None where the reader does not have it. Tags are compared weakly. A 304 with a tag that the
    reader did not send would tell its cache to keep nothing (RFC 9111, section 4.3.4).
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
    request: Request,
    response: Response,
    version: int,
    body: S,
    kind: str = "",
    changed: datetime | None = None,
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
    expected = precondition(
        _header(request, "if-match"), None, _header(request, "if-unmodified-since")
    )
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
