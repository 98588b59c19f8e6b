"""The Git hosts that there are: a new one is a file beside these, a line here, and its name in
`models`."""

from typing import Final

from app.repositories.hosts.bitbucket import Bitbucket
from app.repositories.hosts.github import GitHub
from app.repositories.hosts.gitlab import GitLab
from app.repositories.hosts.host import GitHost, Payload, Told
from app.settings import Settings
from models.repository_connection import ServiceType

HOSTS: Final[dict[ServiceType, type[GitHost]]] = {
    "GitHub": GitHub,
    "GitLab": GitLab,
    "Bitbucket": Bitbucket,
}


def service_named(name: str) -> ServiceType | None:
    """The host that a webhook's path names: `github`; None where there is none."""
    return next((service for service in HOSTS if service.lower() == name), None)


def known_hosts(settings: Settings) -> dict[str, tuple[ServiceType, str]]:
    """Domain -> its service, and where its API is."""
    known = {
        host.DOMAIN: (service, str(getattr(settings, f"{service.lower()}_api_url", host.API)))
        for service, host in HOSTS.items()
    }
    for entry in settings.repository_hosts:
        name, _, domain = entry.partition("=")
        for service, host in HOSTS.items():
            if service == name and host.SELF_HOSTED_API is not None:
                known[domain.lower()] = (service, f"https://{domain}{host.SELF_HOSTED_API}")
    return known


def told_by(service: ServiceType, event: str, payload: Payload) -> Told:
    """What a delivery tells of its repository, paths in lower case."""
    told = HOSTS[service].told(event, payload)
    return Told(told.id, told.path and told.path.lower(), told.before and told.before.lower())


def is_about_the_repository(service: ServiceType, event: str) -> bool:
    """Whether an event tells that something about the repository itself is different now."""
    return event in HOSTS[service].CHANGES


def large_paths() -> tuple[str, ...]:
    """Beginnings of the paths of webhooks whose deliveries may be large."""
    return tuple(
        f"/v1/webhooks/{service.lower()}/" for service, host in HOSTS.items() if host.IS_LARGE
    )
