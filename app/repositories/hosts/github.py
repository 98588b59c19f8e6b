"""GitHub: https://docs.github.com/rest/repos/webhooks. By its id a repository is called as its
redirects call it."""

from typing import Any, ClassVar, Final

from app.repositories.hosts.host import GitHost, Payload, Told, id_told, part, rows, text

_EVENTS: Final = ("push", "pull_request", "release", "repository")
_RENAMED: Final = frozenset({"renamed", "transferred"})


class GitHub(GitHost):
    """A repository at github.com, or at a GitHub Enterprise Server."""

    DOMAIN, SSH_443 = "github.com", "ssh.github.com"
    API, SELF_HOSTED_API = "https://api.github.com", "/api/v3"
    HEADERS: ClassVar = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    BY_NAME, BY_ID, ID, PATH, PAGE = "/repos/{}", "/repositories/{}", "id", "full_name", "per_page"
    CHANGE = "PATCH"
    DELIVERY_HEADER, EVENT_HEADER = "x-github-delivery", "x-github-event"
    SIGNATURE_HEADER = "x-hub-signature-256"
    CHANGES = frozenset({"repository"})
    IS_LARGE = True

    def hook(self, url: str, secret: str) -> dict[str, Any]:
        """A webhook of the kind `web`."""
        config = {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
        return {"name": "web", "active": True, "events": list(_EVENTS), "config": config}

    def listed(self, told: Any) -> dict[str, str]:
        """Webhooks with their URLs in `config`."""
        return {str(row.get("id")): str((row.get("config") or {}).get("url")) for row in rows(told)}

    @classmethod
    def is_user(cls, name: str) -> bool:
        """Letters, digits and hyphens."""
        return not set(name) & set("._")

    @classmethod
    def told(cls, event: str, payload: Payload) -> Told:
        """The events `repository` `renamed` and `transferred`, and every other one."""
        repository = part(payload, "repository")
        path, before = text(repository, "full_name"), None
        if event == "repository" and payload.get("action") in _RENAMED and path and "/" in path:
            owner, name = path.split("/", 1)
            old = part(payload, "changes", "owner", "from")
            login = text(part(old, "user"), "login") or text(part(old, "organization"), "login")
            name_before = text(part(payload, "changes", "repository", "name"), "from")
            before = f"{login or owner}/{name_before or name}"
        return Told(id_told(repository.get("id")), path, before)
