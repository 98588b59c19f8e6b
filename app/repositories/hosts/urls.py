"""Repository URLs: every spelling of one repository made the same, and refused where the host is
not the service's."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from app.errors import Invalid
from app.repositories.hosts.registry import HOSTS, known_hosts
from app.settings import Settings
from models.repository_connection import ServiceType

_BY_DOMAIN: Final = {host.DOMAIN: host for host in HOSTS.values()}
_SSH_USER: Final = re.compile(r"git|org-[0-9]+")
"""Who one is over ssh: GitHub shows `org-1234@` where an organisation has certificates of its
own."""
_SCP: Final = re.compile(rf"(?:{_SSH_USER.pattern})@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:]+)")
_SSH_443: Final = {host.SSH_443: host.DOMAIN for host in HOSTS.values() if host.SSH_443}
"""Where the hosts speak ssh on the port of https, for networks that let nothing else out."""
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,38}")
_TOKEN: Final = re.compile(
    r"gh[a-z]_|github_pat|gl[a-z]{2,9}-|atb|att|atc|[0-9a-f]{20}", re.IGNORECASE
)
"""How tokens begin, which some put where the user's name stands."""
_SEGMENT: Final = re.compile(r"[a-z0-9_.][a-z0-9_.-]{0,254}")
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: its canonical URL, `https://host/owner/name` in lower case, and where its
    host's API is."""

    url: str
    service: ServiceType
    api_url: str

    @property
    def path(self) -> str:
        """`owner/name`."""
        return urlsplit(self.url).path.strip("/")

    def remote(self, host_id: str | None) -> str | None:
        """How a repository of this host is stored by the host's id of it: `github.com/1296269`."""
        return None if host_id is None else f"{urlsplit(self.url).netloc}/{host_id}"


def host_id(remote_id: str | None) -> str | None:
    """The host's id in what is stored of it."""
    return None if remote_id is None else remote_id.partition("/")[2]


def parked_url(remote_id: str) -> str:
    """The URL of a repository whose name is not known: nobody's name at its host, until the next
    check."""
    host, _, told = remote_id.partition("/")
    return f"https://{host}/repositories/{re.sub('[^a-z0-9-]', '', told.lower())}"


def parse_repository(text: str, service: ServiceType, settings: Settings) -> Repository:
    """The repository that a URL names: `https://host/owner/name[.git]`, `git@host:owner/name.git`,
    `ssh://git@host/…`.

    As hosts show it for cloning: with a user's name, which is dropped, and over ssh on port 443.

    Args:
        text: the URL. One with a password or token in it is refused, and not repeated.
        service: what the caller says the host is.
        settings: where the APIs are, which hosts are self-hosted.

    Raises:
        Invalid: it is no such URL, or its host is not one of this service.
    """
    host, path = _host_and_path(text)
    known, api_url = known_hosts(settings).get(host, (None, ""))
    if known is None:
        raise _invalid(
            "not_allowed", "the host is none that this deployment knows: SATCHEL_REPOSITORY_HOSTS"
        )
    if known != service:
        error = {"pointer": "/serviceType", "code": "conflicting", "detail": f"{host} is {known}"}
        raise Invalid(f"{host} is {known}, not {service}", errors=[error])
    segments = _without_suffixes(path.lower()).split("/")
    if not 2 <= len(segments) <= HOSTS[service].DEEPEST or not all(
        _is_segment(segment) for segment in segments
    ):
        raise _invalid("malformed", "the path names no repository: owner/name")
    url = f"https://{host}/{'/'.join(segments)}"
    if len(url) > _LONGEST:
        raise _invalid("malformed", "not the URL of a Git repository")
    return Repository(url, service, api_url)


def stored_repository(url: str, service: ServiceType, settings: Settings) -> Repository | None:
    """The repository of a canonical URL; None where its host is not known any more."""
    try:
        return parse_repository(url, service, settings)
    except Invalid:
        return None


def renamed(repository: Repository, path: str | None, settings: Settings) -> Repository:
    """The repository under the path that its host tells; as it is where that is no path."""
    told = None if path is None else f"{repository.url.removesuffix(repository.path)}{path}"
    return (told and stored_repository(told, repository.service, settings)) or repository


def _without_suffixes(path: str) -> str:
    """A path in lower case without the slashes around it and without any `.git` at its end, however
    often they come."""
    while (shorter := path.strip("/").removesuffix(".git")) != path:
        path = shorter
    return path


def _host_and_path(text: str) -> tuple[str, str]:
    if len(text) > _LONGEST or not text.isascii() or any(char.isspace() for char in text):
        raise _invalid("malformed", "not the URL of a Git repository")
    if (scp := _SCP.fullmatch(text)) is not None:
        return _over_ssh(scp["host"].lower()).removeprefix("www."), scp["path"]
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _invalid("malformed", "not the URL of a Git repository") from None
    _check_parts(parts, host, port)
    if parts.scheme == "ssh":
        host = _over_ssh(host)
    return host.removeprefix("www."), _decoded(parts.path)


def _over_ssh(host: str) -> str:
    """The host whose ssh is spoken at this one."""
    return _SSH_443.get(host, host)


def _check_parts(parts: SplitResult, host: str, port: int | None) -> None:
    if parts.scheme not in ("https", "ssh") or not host:
        raise _invalid("malformed", "a repository URL begins with https://, ssh:// or git@")
    if parts.password is not None or not _is_user(parts.username, parts.scheme, host):
        raise _invalid("not_allowed", "a repository URL holds no password or token")
    if not _is_port(port, parts.scheme, host) or parts.query or parts.fragment:
        raise _invalid("malformed", "a repository URL has no port, query or fragment")


def _is_user(name: str | None, scheme: str, host: str) -> bool:
    """Whether what stands before the host is a user's name there: `git` over ssh, any that is no
    token over https."""
    if name is None:
        return True
    if scheme == "ssh":
        return _SSH_USER.fullmatch(name) is not None
    if _USER.fullmatch(name) is None or _TOKEN.match(name):
        return False
    known = _BY_DOMAIN.get(host.removeprefix("www."))
    return known is None or known.is_user(name)


def _is_port(port: int | None, scheme: str, host: str) -> bool:
    """Whether a host is to be found at a port: each at the scheme's own, self-hosted ones over ssh
    at any."""
    if scheme == "https" or host in _SSH_443:
        return port in (None, 443)
    return port in (None, 22) or host.removeprefix("www.") not in _BY_DOMAIN


def _decoded(path: str) -> str:
    """A path with what is percent-encoded in it written out once; a slash that was encoded names no
    repository."""
    if "%2f" in path.lower():
        raise _invalid("malformed", "the path names no repository: owner/name")
    return unquote(path) if "%" in path else path


def _is_segment(segment: str) -> bool:
    return (
        _SEGMENT.fullmatch(segment) is not None
        and segment not in (".", "..")
        and ".." not in segment
    )


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid.field("/repositoryUrl", code, detail)
