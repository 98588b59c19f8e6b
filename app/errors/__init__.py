"""Every failure that a client may see: one class each, owning its status and code, sent as a
problem (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from app.errors.codes import Code


class Problem(Exception):
    """A failure with its status and code.

    Args:
        detail: a sentence for a person; the status' own phrase where there is none to add.
        errors: `{"pointer", "code", "detail"}` for each field that is wrong.
        headers: to send with it.
        extra: further members of the problem body.
    """

    status: ClassVar[int] = 500
    code: ClassVar[Code] = Code.INTERNAL

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.code.value)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem+json body."""
        phrase = HTTPStatus(self.status).phrase
        body: dict[str, Any] = {
            "type": f"/docs/errors#{self.code.value}",
            "title": phrase,
            "status": self.status,
            "detail": self.detail or phrase,
            "code": self.code.value,
            "requestId": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return body | self.extra


class BadReference(Problem):
    """A field refers to a document that is not there, takes no children, or belongs to another
    tenant."""

    status, code = 400, Code.BAD_REFERENCE

    def __init__(self, detail: str, field: str) -> None:
        error = {
            "pointer": f"/{field.split('.', maxsplit=1)[0]}",
            "code": self.code.value,
            "detail": detail,
        }
        super().__init__(detail, errors=[error])


class BadHost(Problem):
    """The request has no `Host` line, several, or a malformed one (RFC 9112, section 3.2)."""

    status, code = 400, Code.BAD_HOST

    def __init__(self, code: str, detail: str) -> None:
        errors = [{"pointer": "header:Host", "code": code, "detail": detail}]
        super().__init__(detail, errors=errors, headers={"Connection": "close"})


class Unauthenticated(Problem):
    """No credentials, or bad ones."""

    status, code = 401, Code.UNAUTHENTICATED

    def __init__(
        self, detail: str = "send a valid access token or API key as Authorization: Bearer"
    ) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="satchel"'})


class Forbidden(Problem):
    """The caller is known and lacks the scope."""

    status, code = 403, Code.FORBIDDEN


class NotFound(Problem):
    """There is no such thing, or none that this caller may see."""

    status, code = 404, Code.NOT_FOUND


class AppNotRegistered(Problem):
    """This deployment knows only registered apps, and this is none of them."""

    status, code = 404, Code.APP_NOT_REGISTERED


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status, code = 405, Code.METHOD_NOT_ALLOWED


class NotAcceptable(Problem):
    """None of the media types that the client accepts can be sent."""

    status, code = 406, Code.NOT_ACCEPTABLE


class BodyTooSlow(Problem):
    """The body did not arrive in time."""

    status, code = 408, Code.REQUEST_TIMEOUT


class Duplicate(Problem):
    """A unique value is taken."""

    status, code = 409, Code.DUPLICATE


class ResultGone(Problem):
    """A repeat of a request that was done, and whose result is not there any more: deleted, or its
    user is."""

    status, code = 404, Code.RESULT_GONE


class CursorExpired(Problem):
    """A cursor of changes from which deltas cannot go on: the client lists anew."""

    status, code = 410, Code.CURSOR_EXPIRED


class Merged(Problem):
    """The person is another one by now, whom `into` names; who may not know is told 404."""

    status, code = 410, Code.MERGED


class MergeConflict(Problem):
    """Both people have something of which one can have one: `conflicts` names each, `keep`
    chooses."""

    status, code = 409, Code.MERGE_CONFLICT


class IndexBuilding(Problem):
    """A declared query whose index is not there yet: what was stored before it was declared is
    being gone through."""

    status, code = 409, Code.INDEX_BUILDING


class InFlight(Problem):
    """A request with this Idempotency-Key is being worked on."""

    status, code = 409, Code.IN_FLIGHT


class AlreadyDone(Problem):
    """This request was done, and its answer held a secret that is not kept; the body carries the
    `id`."""

    status, code = 409, Code.ALREADY_DONE


class Restricted(Problem):
    """Something refers to the document and forbids that it is deleted."""

    status, code = 409, Code.RESTRICTED


class LastIdentity(Problem):
    """A user's only way of signing in is not taken away."""

    status, code = 409, Code.LAST_IDENTITY


class AccountNotActive(Problem):
    """The account is paused or closed: it takes no new users, cards or spending profiles, and opens
    no card."""

    status, code = 409, Code.ACCOUNT_NOT_ACTIVE


class BadTransition(Problem):
    """The status that is stored does not become the one that is asked for, or is final."""

    status, code = 409, Code.BAD_TRANSITION


class PatchTestFailed(Problem):
    """A `test` operation of a JSON Patch found another value."""

    status, code = 409, Code.PATCH_TEST_FAILED


class VersionMismatch(Problem):
    """The precondition does not hold; the body carries `current`."""

    status, code = 412, Code.VERSION_MISMATCH

    def __init__(
        self,
        current: Mapping[str, Any] | None,
        *,
        etag: str | None = None,
        absent: bool = False,
        weak: bool = False,
    ) -> None:
        """What is stored, as it is sent, and its ETag.

        `absent` where the precondition was that nothing is stored, `weak` where only weak tags were
        sent.
        """
        detail = "the stored document has another version" if current else "nothing is stored here"
        if current and absent:
            detail = "it exists already"
        elif current and weak:
            detail = 'a weak tag (W/"...") guards no write: send the ETag as the server gave it'
        headers = {"ETag": etag} if etag else {}
        super().__init__(detail, headers=headers, extra={"current": current})


class NotAllStored(Problem):
    """An item of an atomic batch came too late, so nothing was written; the body carries
    `results`."""

    status, code = 412, Code.NOT_ALL_STORED


class TooLarge(Problem):
    """The body, or what a patch makes of a document, is larger than allowed."""

    status, code = 413, Code.TOO_LARGE


class UnsupportedMediaType(Problem):
    """The body is of a type that is not taken here."""

    status, code = 415, Code.UNSUPPORTED_MEDIA_TYPE


class Invalid(Problem):
    """The input is well-formed and not acceptable; `errors` names the fields."""

    status, code = 422, Code.INVALID

    @classmethod
    def field(cls, pointer: str, code: str, detail: str) -> "Invalid":
        """One field that is wrong."""
        return cls(detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])


class MalformedJson(Problem):
    """The body is no JSON."""

    status, code = 422, Code.MALFORMED_JSON


class KeyReused(Problem):
    """The Idempotency-Key was used for another request."""

    status, code = 422, Code.KEY_REUSED


class VersionRequired(Problem):
    """The app takes no write without a precondition."""

    status, code = 428, Code.VERSION_REQUIRED


class TooManyRequests(Problem):
    """The caller has used up its allowance."""

    status, code = 429, Code.TOO_MANY_REQUESTS

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Internal(Problem):
    """A fault of ours."""


class UnreadableRow(Problem):
    """What is stored cannot be read: a row was damaged outside of Satchel. `python -m scripts
    integrity check` names it."""

    code = Code.UNREADABLE


class Unavailable(Problem):
    """The server or its database cannot take the request now; the same request may pass later."""

    status, code = 503, Code.UNAVAILABLE

    def __init__(
        self,
        detail: str = "try again in a moment",
        retry_after: int = 1,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, extra=extra)


class ProviderUnavailable(Unavailable):
    """An outside system (a bank's provider, a Git host) cannot answer now; the same request may
    pass later."""

    code = Code.PROVIDER_UNAVAILABLE


class RestoredUnfinished(Unavailable):
    """The database was restored from a backup, and `python -m scripts restored` has not come to its
    end."""

    code = Code.RESTORED_UNFINISHED


class QuotaExceeded(Problem):
    """The app keeps as much of this person as it may; what deletes or shrinks passes. `used` and
    `allowed` say it."""

    status, code = 507, Code.QUOTA_EXCEEDED

    def __init__(
        self, used: Mapping[str, int], allowed: Mapping[str, int], headers: Mapping[str, str]
    ) -> None:
        detail = "the app keeps as much of this person as it may: delete, or shrink, something"
        super().__init__(detail, headers=headers, extra={"used": used, "allowed": allowed})
