"""What a Git host is: its API as far as a repository's token and webhook go, its URLs, and how it
delivers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote

from app.outside.client import Answer, Outgoing, TryLater

Payload = Mapping[str, Any]
_PER_PAGE: Final = "100"
_LONGEST_ID: Final = 256
_PASSING: Final = frozenset({405, 408, 409, 423, 425})
"""What passes by itself: a repository on the move (GitLab's 405), a conflict, a lock."""
MOVED: Final = "repository_moved"
NOT_FOUND: Final = "repository_not_found"
NOT_PERMITTED: Final = "webhooks_not_permitted"
TOKEN_REFUSED: Final = "token_refused"  # noqa: S105  # a reason


class Refused(Exception):
    """The host refuses, and will refuse again until somebody changes something.

    Attributes:
        reason: `token_refused`, `webhooks_not_permitted`, `repository_not_found`;
            `repository_moved` where the name leads elsewhere, `another_repository` where it is
            another one's now; `refused_422` and the like.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What a host calls a repository: an id, which stays, and a path, which changes; None where it
    tells none."""

    id: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """A repository as a delivery tells it: the host's id, its path, and the path that it had before
    a rename."""

    id: str | None = None
    path: str | None = None
    before: str | None = None


class GitHost:
    """One repository at its host. Each host is a subclass in a file of its own, listed in
    `registry.py`.

    Calls raise Refused or TryLater where they cannot be done. Its webhooks are a resource, below
    the repository or where `hooks_path` says.

    Attributes:
        DOMAIN: where its repositories are, and SSH_443 where it speaks ssh on the port of https,
            None where it does not.
        DEEPEST: how many parts the path of a repository has at most.
        API: where its API is, if no setting `<service>_api_url` says otherwise; SELF_HOSTED_API
            that of a host of one's own, below its name, None where there are none.
        HEADERS: of every call, beside the token; SCHEME is what stands before that.
        BY_NAME: path of a repository by its name, BY_ID by its id.
        ID: the field of an id, PATH of a repository's path, PAGE the parameter for the length of a
            list.
        CHANGE: the method that changes a webhook.
        DELIVERY_HEADER: the id of an event, the same however often it is delivered; EVENT_HEADER
            its name.
        SIGNATURE_HEADER: the HMAC-SHA256 of a delivery's body, hexadecimal, after
            SIGNATURE_PREFIX; None where it sends the secret itself.
        CHANGES: events after which the repository may be called something else.
        IS_LARGE: whether deliveries may be larger than other requests.
    """

    DOMAIN: ClassVar[str]
    SSH_443: ClassVar[str | None] = None
    DEEPEST: ClassVar[int] = 2
    API: ClassVar[str]
    SELF_HOSTED_API: ClassVar[str | None] = None
    HEADERS: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    SCHEME: ClassVar[str] = "Bearer"
    BY_NAME: ClassVar[str]
    BY_ID: ClassVar[str]
    ID: ClassVar[str]
    PATH: ClassVar[str]
    PAGE: ClassVar[str]
    CHANGE: ClassVar[str] = "PUT"
    DELIVERY_HEADER: ClassVar[str]
    EVENT_HEADER: ClassVar[str]
    SIGNATURE_HEADER: ClassVar[str | None] = None
    SIGNATURE_PREFIX: ClassVar[str] = "sha256="
    CHANGES: ClassVar[frozenset[str]]
    IS_LARGE: ClassVar[bool] = False

    def __init__(self, http: Outgoing, path: str) -> None:
        self._http = http
        self._path = self.BY_NAME.format(self.name_in_path(path))

    def go_by_id(self, remote: str) -> None:
        """Call the repository by its id from here on."""
        self._path = self.BY_ID.format(quoted(remote))

    async def identify(self) -> Identity:
        """`GET` of the repository."""
        told = _checked(await self._http.send("GET", self._path), NOT_FOUND).json()
        if not isinstance(told, dict):
            raise TryLater("malformed_answer")
        path = told.get(self.PATH)
        return Identity(id_told(told.get(self.ID)), path if isinstance(path, str) else None)

    def hooks_path(self) -> str:
        """Where the repository's webhooks are: below it, however it is called. A host that has
        them by name alone keeps the path that `identify` finds."""
        return f"{self._path}/hooks"

    async def webhooks(self) -> dict[str, str]:
        """`GET …/hooks`."""
        answer = await self._http.send("GET", self.hooks_path(), query={self.PAGE: _PER_PAGE})
        return self.listed(_checked(answer, NOT_PERMITTED).json())

    async def create_webhook(self, url: str, secret: str) -> str:
        """`POST …/hooks`."""
        answer = _checked(
            await self._http.send("POST", self.hooks_path(), json=self.hook(url, secret)),
            NOT_PERMITTED,
        )
        return self._id_of(answer)

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """`PATCH` or `PUT …/hooks/{id}`."""
        path = f"{self.hooks_path()}/{quoted(webhook_id)}"
        _checked(
            await self._http.send(self.CHANGE, path, json=self.hook(url, secret)), NOT_PERMITTED
        )

    async def delete_webhook(self, webhook_id: str) -> None:
        """`DELETE …/hooks/{id}`."""
        answer = await self._http.send("DELETE", f"{self.hooks_path()}/{quoted(webhook_id)}")
        if answer.status not in (404, 410):
            _checked(answer, NOT_FOUND)

    def hook(self, url: str, secret: str) -> dict[str, Any]:
        """What is sent of a webhook."""
        raise NotImplementedError

    def listed(self, told: Any) -> dict[str, str]:
        """Webhooks as its list tells them: id -> URL."""
        return {str(row.get(self.ID)): str(row.get("url")) for row in rows(told)}

    def _id_of(self, answer: Answer) -> str:
        told = answer.json()
        found = id_told(told.get(self.ID)) if isinstance(told, dict) else None
        if found is None:
            raise TryLater("malformed_answer")
        return found

    @classmethod
    def name_in_path(cls, path: str) -> str:
        """`owner/name` as `BY_NAME` takes it."""
        return path

    @classmethod
    def is_user(cls, name: str) -> bool:
        """Whether people may have such a name there; it stands before the host in URLs that are
        shown for cloning."""
        return bool(name)

    @classmethod
    def told(cls, event: str, payload: Payload) -> Told:
        """What a delivery tells of its repository; what it does not tell is None."""
        raise NotImplementedError

    @classmethod
    def delivery_id(cls, headers: Mapping[str, str], digest: str) -> str | None:
        """The id of a delivery's event, None where it has none.

        Args:
            headers: by names in lower case.
            digest: SHA-256 of the body, hexadecimal.
        """
        return headers.get(cls.DELIVERY_HEADER)

    @classmethod
    def signature_sent(cls, headers: Mapping[str, str]) -> str | None:
        """The signature that a delivery is sent with, hexadecimal; None where it has none of this
        host's form."""
        given = headers.get(cls.SIGNATURE_HEADER or "", "")
        is_ours = given.startswith(cls.SIGNATURE_PREFIX)
        return given.removeprefix(cls.SIGNATURE_PREFIX) if is_ours else None

    @classmethod
    def secret_sent(cls, headers: Mapping[str, str]) -> str | None:
        """The secret that a delivery is sent with, by hosts that do not sign."""
        return None


def _checked(answer: Answer, otherwise: str) -> Answer:
    """An answer that is a success.

    Raises:
        Refused: 401 is the token, 403 its rights, 404 what `otherwise` says; another 4xx by its
            number.
        TryLater: what passes by itself.
    """
    if answer.is_success:
        return answer
    if answer.status in _PASSING:
        raise TryLater(f"refused_{answer.status}")
    reasons = {401: TOKEN_REFUSED, 403: NOT_PERMITTED, 404: otherwise, 410: otherwise}
    raise Refused(reasons.get(answer.status, f"refused_{answer.status}"))


def id_told(value: Any) -> str | None:
    """An id as a host tells it, a number or a text, as text; None where it is neither."""
    is_id = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if is_id and 0 < len(str(value)) <= _LONGEST_ID else None


def part(value: Any, *names: str) -> Payload:
    """An object within an object, empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def text(source: Payload, name: str) -> str | None:
    """A text of an object, None where it is none or empty."""
    value = source.get(name)
    return value if isinstance(value, str) and value else None


def rows(told: Any) -> list[dict[str, Any]]:
    """A list of objects as a host tells it.

    Raises:
        TryLater: it is none.
    """
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise TryLater("malformed_answer")
    return told


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
