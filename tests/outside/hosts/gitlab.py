"""GitLab as published, as far as webhooks go, and what it delivers."""

from typing import Any

from tests.outside.git_hosts import GitHostServer, Repo
from tests.outside.server import Asked, Told


class GitLabServer(GitHostServer):
    """https://docs.gitlab.com/api/project_webhooks."""

    kind = "GitLab"
    cloned = "https://gitlab.com/acme/apps/notes.git"
    proof = "X-Gitlab-Token"
    path = "acme/apps/notes"
    renamed = "acme/apps/sketches"

    def split(self, parts: list[str]) -> tuple[str, list[str]]:
        return parts[1], parts[2:]

    def redirect(self, asked: Asked, repo: Repo, rest: list[str]) -> Told:
        if asked.method != "GET":
            return Told(405, {"message": "405 Non GET methods are not allowed for moved projects"})
        return Told(
            301, headers={"Location": "/".join([self.server.url, "projects", repo.id, *rest])}
        )

    def renaming(self, repo: Repo, before: str) -> tuple[Any, dict[str, str]]:
        payload = {
            "event_name": "project_rename",
            "project_id": int(repo.id),
            "path_with_namespace": repo.path,
            "old_path_with_namespace": before,
        }
        return payload, {"X-Gitlab-Event": "System Hook"}

    def show(self, repo: Repo) -> Any:
        return {"id": int(repo.id), "path_with_namespace": repo.path}

    def shown(self, key: str, hook: dict[str, Any]) -> Any:
        return {"id": int(key), "url": hook["url"], "push_events": hook["push_events"]}

    def secret(self, hook: dict[str, Any]) -> str:
        return str(hook["token"])

    def headers(self, hook: dict[str, Any], body: bytes, delivery_id: str) -> dict[str, str]:
        token = self.secret(hook)
        return {
            "X-Gitlab-Event": "Push Hook",
            "X-Gitlab-Token": token,
            "Idempotency-Key": delivery_id,
        }

    def payload(self, repo: Repo, **more: Any) -> Any:
        return {
            "object_kind": "push",
            "project": {"id": int(repo.id), "path_with_namespace": repo.path},
            **more,
        }
