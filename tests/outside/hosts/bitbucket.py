"""Bitbucket as published, as far as webhooks go, and what it delivers."""

from typing import Any

from tests.outside.git_hosts import GitHostServer, Repo, sha256_of
from tests.outside.server import Asked, Told


class BitbucketServer(GitHostServer):
    """https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories."""

    kind = "Bitbucket"
    cloned = "git@bitbucket.org:acme/notes.git"
    proof = "X-Hub-Signature"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        if parts[1] == "{}":
            return parts[2], parts[3:]
        return "/".join(parts[1:3]), parts[3:]

    def repo_id(self, number: int) -> str:
        return f"{{6ba7b810-9dad-11d1-80b4-{number:012}}}"

    def redirect(self, asked: Asked, repo: Repo, rest: list[str]) -> Told:
        return Told(
            302, headers={"Location": "/".join([self.server.url, "repositories", repo.path, *rest])}
        )

    def renaming(self, repo: Repo, before: str) -> tuple[Any, dict[str, str]]:
        payload = {
            "repository": {"uuid": repo.id, "full_name": repo.path},
            "changes": {"full_name": {"new": repo.path, "old": before}},
        }
        return payload, {"X-Event-Key": "repo:updated"}

    def show(self, repo: Repo) -> Any:
        return {"uuid": repo.id, "full_name": repo.path}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        return {"uuid": key, "url": hook["url"], "secret_set": True, "active": True}

    def list(self, rows: list[Any]) -> Any:
        return {"pagelen": 100, "size": len(rows), "page": 1, "values": rows}

    def new_id(self, number: int) -> str:
        return f"{{hook-{number}}}"

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        signature = sha256_of(self.secret(hook), body)
        return {
            "X-Event-Key": "repo:push",
            "X-Request-UUID": delivery_id,
            "X-Hub-Signature": signature,
        }

    def payload(self, repo: Repo, **more: Any) -> Any:
        repository = {"type": "repository", "uuid": repo.id, "full_name": repo.path}
        return {"push": {"changes": []}, "repository": repository, **more}
