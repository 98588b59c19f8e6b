"""What stands for a Git host: its API as far as webhooks go, and the deliveries that it sends. Each
is a file in `tests/outside/hosts`, named like its service."""

import hmac
import itertools
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from tests.outside.server import Asked, OutsideServer, Told, segments


@dataclass
class Repo:
    """A repository: its path, its id, the tokens that manage it, those that only read it, and its
    webhooks by id."""

    path: str
    id: str = ""
    managers: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict)


class GitHostServer:
    """A host of one kind; `repos` by path in lower case, and under the names of before those that
    were renamed.

    `cloned` is a URL that it shows for cloning the repository at `path`, which tests call `renamed`
    or `transferred` later. `proof` is the header of a delivery's signature or secret.
    """

    kind = ""
    cloned = ""
    proof = ""
    scheme = "Bearer"
    path = "acme/notes"
    renamed = "acme/sketches"
    transferred = "other/notes"
    missing = Told(404, {"message": "Not Found"})
    denied = Told(403, {"message": "Resource not accessible by personal access token"})

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, Repo] = {}
        self.server = OutsideServer(self.serve)
        self._ids = itertools.count(1)

    def add(self, path: str, token: str) -> Repo:
        if path not in self.repos:
            self.repos[path] = Repo(path, self.repo_id(next(self._ids)))
        self.repos[path].managers.add(token)
        return self.repos[path]

    def rename(self, before: str, path: str, *, redirects: bool = True) -> Repo:
        """Give a repository another path; the one of before leads there, until another repository
        takes it."""
        repo = self.repos.pop(before)
        repo.path = path
        self.repos[path] = repo
        self.moved.pop(path, None)
        if redirects:
            self.moved[before] = repo
        return repo

    def serve(self, asked: Asked) -> Told:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        known = {token for repo in self.repos.values() for token in repo.managers | repo.readers}
        if scheme != self.scheme or token not in known:
            return Told(401, {"message": "Bad credentials"})
        path, rest = self.split(segments(asked.path))
        by_id = {repo.id: repo for repo in self.repos.values()}
        repo = self.repos.get(path) or by_id.get(path)
        if repo is None and path in self.moved:
            return self.redirect(asked, self.moved[path], rest)
        if repo is None or token not in repo.managers | repo.readers:
            return self.missing
        if not rest:
            return Told(200, self.show(repo))
        if token not in repo.managers:
            return self.denied
        return self._hooks(repo, asked, rest[1:])

    def _hooks(self, repo: Repo, asked: Asked, rest: list[str]) -> Told:
        if not rest and asked.method == "GET":
            return Told(200, self.list([self.shown(key, hook) for key, hook in repo.hooks.items()]))
        if not rest and self.refuses(repo, asked.json()):
            return Told(422, {"message": "Validation Failed"})
        if not rest:
            key = self.new_id(next(self._ids))
            repo.hooks[key] = asked.json()
            return Told(201, self.shown(key, repo.hooks[key]))
        if rest[0] not in repo.hooks:
            return self.missing
        if asked.method == "DELETE":
            del repo.hooks[rest[0]]
            return Told(204)
        repo.hooks[rest[0]] |= asked.json()
        return Told(200, self.shown(rest[0], repo.hooks[rest[0]]))

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        raise NotImplementedError

    def repo_id(self, number: int) -> str:
        return str(1000 + number)

    def redirect(self, asked: Asked, repo: Repo, rest: list[str]) -> Told:
        raise NotImplementedError

    def refuses(self, repo: Repo, hook: dict[str, Any]) -> bool:
        """Whether the host takes no second webhook of this kind."""
        return False

    def renaming(self, repo: Repo, before: str) -> tuple[Any, dict[str, str]]:
        """Payload and headers of what the host delivers once a repository has another path."""
        raise NotImplementedError

    def show(self, repo: Repo) -> Any:
        raise NotImplementedError

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        raise NotImplementedError

    def list(self, rows: list[Any]) -> Any:
        return rows

    def new_id(self, number: int) -> str:
        return str(number)

    def secret(self, hook: dict[str, Any]) -> str:
        return str(hook["secret"])

    def url(self, hook: dict[str, Any]) -> str:
        return str(hook["url"])

    def with_url(self, hook: dict[str, Any], url: str) -> dict[str, Any]:
        """A webhook like this one that delivers elsewhere."""
        return {**hook, "url": url}

    def delivery(
        self, repo: Repo, payload: Any, **changes: str
    ) -> tuple[str, bytes, dict[str, str]]:
        """Path, body and headers of a delivery by the webhook, signed with the secret that it was
        given."""
        (hook,) = repo.hooks.values()
        body = orjson.dumps(payload)
        path = self.url(hook).split("/", 3)[3]
        headers = {
            "Content-Type": "application/json",
            **self.headers(hook, body, secrets.token_hex(8)),
            **changes,
        }
        return f"/{path}", body, headers

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        raise NotImplementedError

    def payload(self, repo: Repo, **more: Any) -> Any:
        raise NotImplementedError


def sha256_of(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
