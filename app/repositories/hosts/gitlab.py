"""GitLab: https://docs.gitlab.com/api/project_webhooks."""

from collections.abc import Mapping
from typing import Any, Final

from app.repositories.hosts.host import GitHost, Payload, Told, id_told, part, quoted, text

_EVENTS: Final = ("push_events", "tag_push_events", "merge_requests_events", "releases_events")


class GitLab(GitHost):
    """A project at gitlab.com, or at a GitLab of one's own. Deliveries bring the secret and no
    signature."""

    DOMAIN, SSH_443 = "gitlab.com", "altssh.gitlab.com"
    DEEPEST = 21  # twenty groups and the project
    API, SELF_HOSTED_API = "https://gitlab.com/api/v4", "/api/v4"
    BY_NAME, BY_ID, ID, PATH, PAGE = (
        "/projects/{}",
        "/projects/{}",
        "id",
        "path_with_namespace",
        "per_page",
    )
    DELIVERY_HEADER, EVENT_HEADER = "idempotency-key", "x-gitlab-event"
    CHANGES = frozenset({"System Hook", "Project Hook"})
    IS_LARGE = True

    def hook(self, url: str, secret: str) -> dict[str, Any]:
        """A project's webhook, each event a field."""
        return {
            "url": url,
            "token": secret,
            "enable_ssl_verification": True,
            **dict.fromkeys(_EVENTS, True),
        }

    @classmethod
    def name_in_path(cls, path: str) -> str:
        """A project's path as one part, its slashes encoded."""
        return quoted(path)

    @classmethod
    def told(cls, event: str, payload: Payload) -> Told:
        """`project_rename` and `project_transfer` tell of themselves; a project's own events of
        their `project`."""
        project = part(payload, "project")
        known = id_told(project.get("id", payload.get("project_id")))
        path = text(project, "path_with_namespace") or text(payload, "path_with_namespace")
        return Told(known, path, text(payload, "old_path_with_namespace"))

    @classmethod
    def delivery_id(cls, headers: Mapping[str, str], digest: str) -> str | None:
        """`Idempotency-Key`. A GitLab before 17.4 has no id that stays: then the body is what
        stays.

        Its `X-Gitlab-Event-UUID` is shared by events that set off one another, and its
        `X-Gitlab-Webhook-UUID` is of an attempt.
        """
        if cls.DELIVERY_HEADER not in headers and "x-gitlab-event-uuid" in headers:
            return f"sha256:{digest}"
        return headers.get(cls.DELIVERY_HEADER)

    @classmethod
    def secret_sent(cls, headers: Mapping[str, str]) -> str | None:
        """`X-Gitlab-Token`."""
        return headers.get("x-gitlab-token", "")
