"""Bitbucket: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories."""

from typing import Any, Final

from app.repositories.hosts.host import GitHost, Payload, Told, id_told, part, text

_EVENTS: Final = (
    "repo:push",
    "repo:updated",
    "repo:transfer",
    "pullrequest:created",
    "pullrequest:fulfilled",
)


class Bitbucket(GitHost):
    """A repository at bitbucket.org. By its id it is called with `{}` as the workspace."""

    DOMAIN, SSH_443 = "bitbucket.org", "altssh.bitbucket.org"
    API = "https://api.bitbucket.org/2.0"
    BY_NAME, BY_ID, ID, PATH, PAGE = (
        "/repositories/{}",
        "/repositories/%7B%7D/{}",
        "uuid",
        "full_name",
        "pagelen",
    )
    DELIVERY_HEADER, EVENT_HEADER = "x-request-uuid", "x-event-key"
    SIGNATURE_HEADER = "x-hub-signature"
    CHANGES = frozenset({"repo:updated", "repo:transfer"})

    def hook(self, url: str, secret: str) -> dict[str, Any]:
        """A webhook with its secret."""
        events = list(_EVENTS)
        return {
            "description": "Satchel",
            "url": url,
            "active": True,
            "events": events,
            "secret": secret,
        }

    def listed(self, told: Any) -> dict[str, str]:
        """A page of webhooks."""
        return super().listed(told.get("values") if isinstance(told, dict) else None)

    @classmethod
    def told(cls, event: str, payload: Payload) -> Told:
        """`repo:updated` tells names in its `changes`, `repo:transfer` the workspace that it comes
        from."""
        repository = part(payload, "repository")
        path, changed = text(repository, "full_name"), part(payload, "changes", "full_name")
        before = text(changed, "old")
        workspace = text(part(payload, "previous_workspace"), "slug")
        if event == "repo:transfer" and workspace and path:
            before = f"{workspace}/{path.rpartition('/')[2]}"
        return Told(id_told(repository.get("uuid")), text(changed, "new") or path, before)
