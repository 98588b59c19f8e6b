"""The Git hosts that there are: each is a file beside this one, named like its service."""

import sys
from importlib import import_module
from typing import Final, get_args

from app.repositories.hosts.host import GitHost, Payload, Told
from app.settings import Settings
from app.settings.faults import SettingsError, no_setting, variable
from models.repository_connection import ServiceType


def _host_of(service: ServiceType) -> type[GitHost]:
    """The class `GitHub` of `github.py`."""
    found: type[GitHost] = getattr(import_module(f"{__package__}.{service.lower()}"), service)
    return found


HOSTS: Final[dict[ServiceType, type[GitHost]]] = {
    service: _host_of(service) for service in get_args(ServiceType)
}


def service_named(name: str) -> ServiceType | None:
    """The host that a webhook's path names: `github`; None where there is none."""
    return next((service for service in HOSTS if service.lower() == name), None)


def api_setting(service: ServiceType) -> str:
    """The setting by which a host's API is found elsewhere than its file says."""
    return f"{service.lower()}_api_url"


def known_hosts(settings: Settings) -> dict[str, tuple[ServiceType, str]]:
    """Domain -> its service, and where its API is."""
    known = {
        host.DOMAIN: (service, settings.host_settings.get(api_setting(service), host.API))
        for service, host in HOSTS.items()
    }
    for entry in settings.repository_hosts:
        name, _, domain = entry.partition("=")
        for service, host in HOSTS.items():
            if service == name and host.SELF_HOSTED_API is not None:
                known[domain.lower()] = (service, f"https://{domain}{host.SELF_HOSTED_API}")
    return known


def check_hosts(settings: Settings) -> None:
    """Look whether what the settings say of Git hosts is of hosts that there are. A setting
    `<host>_api_url` of none is warned of, with the nearest setting that there is.

    Raises:
        SettingsError: one of `repository_hosts` is of a kind that one cannot have oneself.
    """
    of_hosts = [api_setting(service) for service in HOSTS]
    known = [variable(name) for name in (*of_hosts, *type(settings).model_fields)]
    for name in sorted(settings.host_settings.keys() - set(of_hosts)):
        sys.stderr.write(f"warning: {no_setting(variable(name), known)}\n")
    kinds = [service for service, host in HOSTS.items() if host.SELF_HOSTED_API is not None]
    if any(entry.partition("=")[0] not in kinds for entry in settings.repository_hosts):
        forms = " or ".join(f"{kind}=host" for kind in kinds)
        raise SettingsError([f"SATCHEL_REPOSITORY_HOSTS lists hosts as {forms}"])


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
