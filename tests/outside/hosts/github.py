"""GitHub as published, as far as webhooks go, and what it delivers."""

from typing import Any

from tests.outside.git_hosts import GitHostServer, Repo, sha256_of
from tests.outside.server import Asked, Told


class GitHubServer(GitHostServer):
    """https://docs.github.com/rest/repos/webhooks, and what its best practices say of redirects."""

    kind = "GitHub"
    cloned = "https://github.com/Acme/Notes"
    proof = "X-Hub-Signature-256"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        if parts[0] == "repositories":
            return parts[1], parts[2:]
        return "/".join(parts[1:3]), parts[3:]

    def redirect(self, asked: Asked, repo: Repo, rest: list[str]) -> Told:
        url = "/".join([self.server.url, "repositories", repo.id, *rest])
        status = 301 if asked.method == "GET" else 307
        return Told(status, {"message": "Moved Permanently", "url": url}, {"Location": url})

    def refuses(self, repo: Repo, hook: dict[str, Any]) -> bool:
        return self.url(hook) in [self.url(other) for other in repo.hooks.values()]

    def renaming(self, repo: Repo, before: str) -> tuple[Any, dict[str, str]]:
        (owner, name), new_owner = before.split("/"), repo.path.split("/")[0]
        payload = {"repository": {"id": int(repo.id), "full_name": repo.path}, "action": "renamed"}
        payload["changes"] = {"repository": {"name": {"from": name}}}
        if owner != new_owner:
            payload |= {
                "action": "transferred",
                "changes": {"owner": {"from": {"organization": {"login": owner}}}},
            }
        return payload, {"X-GitHub-Event": "repository"}

    def show(self, repo: Repo) -> Any:
        return {"id": int(repo.id), "full_name": repo.path, "permissions": {"admin": True}}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        config = {**hook["config"], "secret": "********"}
        return {
            "id": int(key),
            "type": "Repository",
            "name": "web",
            "active": True,
            "config": config,
        }

    def secret(self, hook: dict[str, Any]) -> str:
        return str(hook["config"]["secret"])

    def url(self, hook: dict[str, Any]) -> str:
        return str(hook["config"]["url"])

    def with_url(self, hook: dict[str, Any], url: str) -> dict[str, Any]:
        return {**hook, "config": {**hook["config"], "url": url}}

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        signature = sha256_of(self.secret(hook), body)
        return {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": delivery_id,
            "X-Hub-Signature-256": signature,
        }

    def payload(self, repo: Repo, **more: Any) -> Any:
        return {
            "ref": "refs/heads/main",
            "repository": {"id": int(repo.id), "full_name": repo.path},
            **more,
        }
