"""What stands for each Git host that there is."""

from importlib import import_module

from app.repositories.hosts.registry import HOSTS, api_setting
from tests.outside.git_hosts import GitHostServer

SERVERS: dict[str, type[GitHostServer]] = {
    service: getattr(import_module(f"{__name__}.{service.lower()}"), f"{service}Server")
    for service in HOSTS
}


def at(url: str) -> dict[str, str]:
    """The settings by which every host's API is at one place."""
    return {api_setting(service): url for service in HOSTS}
