"""The APIs of GitHub, GitLab and Bitbucket as published, as far as webhooks go, and the deliveries that they send."""

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
    """A repository: the tokens that manage it, those that only read it, and its webhooks by id."""

    path: str
    managers: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict)


class GitHostServer:
    """A host of one kind; `repos` by path in lower case."""

    kind = ""
    missing = Told(404, {"message": "Not Found"})
    denied = Told(403, {"message": "Resource not accessible by personal access token"})

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.server = OutsideServer(self.serve)
        self._ids = itertools.count(1)

    def add(self, path: str, token: str) -> Repo:
        repo = self.repos.setdefault(path, Repo(path))
        repo.managers.add(token)
        return repo

    def serve(self, asked: Asked) -> Told:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        known = {token for repo in self.repos.values() for token in repo.managers | repo.readers}
        if scheme != "Bearer" or token not in known:
            return Told(401, {"message": "Bad credentials"})
        path, rest = self.split(segments(asked.path))
        repo = self.repos.get(path)
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

    def delivery(self, repo: Repo, payload: Any, **changes: str) -> tuple[str, bytes, dict[str, str]]:
        """Path, body and headers of a delivery by the webhook, signed with the secret that it was given."""
        (hook,) = repo.hooks.values()
        body = orjson.dumps(payload)
        path = self.url(hook).split("/", 3)[3]
        headers = {"Content-Type": "application/json", **self.headers(hook, body, secrets.token_hex(8)), **changes}
        return f"/{path}", body, headers

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        raise NotImplementedError

    def payload(self, repo: Repo, **more: Any) -> Any:
        raise NotImplementedError


def sha256_of(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


class GitHubServer(GitHostServer):
    """https://docs.github.com/rest/repos/webhooks."""

    kind = "GitHub"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        return "/".join(parts[1:3]), parts[3:]

    def show(self, repo: Repo) -> Any:
        return {"id": 1, "full_name": repo.path, "permissions": {"admin": True}}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        config = {**hook["config"], "secret": "********"}
        return {"id": int(key), "type": "Repository", "name": "web", "active": True, "config": config}

    def secret(self, hook: dict[str, Any]) -> str:
        return str(hook["config"]["secret"])

    def url(self, hook: dict[str, Any]) -> str:
        return str(hook["config"]["url"])

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        signature = sha256_of(self.secret(hook), body)
        return {"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery_id, "X-Hub-Signature-256": signature}

    def payload(self, repo: Repo, **more: Any) -> Any:
        return {"ref": "refs/heads/main", "repository": {"id": 1, "full_name": repo.path}, **more}


class GitLabServer(GitHostServer):
    """https://docs.gitlab.com/api/project_webhooks."""

    kind = "GitLab"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        return parts[1], parts[2:]

    def show(self, repo: Repo) -> Any:
        return {"id": 1, "path_with_namespace": repo.path}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        return {"id": int(key), "url": hook["url"], "push_events": hook["push_events"]}

    def secret(self, hook: dict[str, Any]) -> str:
        return str(hook["token"])

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        token = self.secret(hook)
        return {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token, "Idempotency-Key": delivery_id}

    def payload(self, repo: Repo, **more: Any) -> Any:
        return {"object_kind": "push", "project": {"id": 1, "path_with_namespace": repo.path}, **more}


class BitbucketServer(GitHostServer):
    """https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories."""

    kind = "Bitbucket"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        return "/".join(parts[1:3]), parts[3:]

    def show(self, repo: Repo) -> Any:
        return {"uuid": "{r}", "full_name": repo.path}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        return {"uuid": key, "url": hook["url"], "secret_set": True, "active": True}

    def list(self, rows: list[Any]) -> Any:
        return {"pagelen": 100, "size": len(rows), "page": 1, "values": rows}

    def new_id(self, number: int) -> str:
        return f"{{hook-{number}}}"

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        signature = sha256_of(self.secret(hook), body)
        return {"X-Event-Key": "repo:push", "X-Request-UUID": delivery_id, "X-Hub-Signature": signature}

    def payload(self, repo: Repo, **more: Any) -> Any:
        return {"push": {"changes": []}, "repository": {"type": "repository", "full_name": repo.path}, **more}
