"""What the compose file, the Dockerfile and the constraints promise to whoever deploys them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_only_the_proxy_publishes_ports() -> None:
    """What only an operator is to see is published to the machine itself, and not by default."""
    published = {name for name, service in SERVICES.items() if "ports" in service}
    observing = {name for name, service in SERVICES.items() if service.get("profiles")}
    assert (published, observing) == ({"proxy", *observing}, {"prometheus", "grafana"})
    for name in observing:
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_the_proxy_cannot_reach_the_database() -> None:
    assert set(SERVICES["proxy"]["networks"]).isdisjoint(SERVICES["mongo"]["networks"])


def test_mongodb_is_a_version_8_replica_set_with_a_key() -> None:
    mongo = SERVICES["mongo"]
    assert mongo["image"] == "mongo:8.0"
    assert {"--replSet", "--keyFile"} <= set(mongo["command"])
    assert "replSetInitiate" in mongo["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["rights", "indexes", "migrate", "app", "worker"])
def test_our_containers_run_without_root_and_without_a_writable_root(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    expected = "development" if name == "rights" else "production"  # it needs no secret of ours
    assert service["environment"]["SATCHEL_ENVIRONMENT"] == expected


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_a_limit_of_memory(name: str) -> None:
    assert re.fullmatch(r"(\$\{\w+:-)?\d+[mg]\}?", SERVICES[name]["mem_limit"])


def test_only_the_database_and_the_rights_have_the_administrators_password() -> None:
    """Satchel comes as a user of its own, made before anything of it starts."""
    knowing = {name for name, service in SERVICES.items() if "ROOT_PASSWORD" in str(service)}
    assert knowing == {"mongo", "rights"}
    uris = {SERVICES[name]["environment"]["SATCHEL_MONGODB_URI"] for name in ("rights", "app")}
    assert [uri.partition("://")[2].partition(":")[0] for uri in uris] == ["satchel"]
    ended = {"condition": "service_completed_successfully"}
    assert SERVICES["indexes"]["depends_on"]["rights"] == ended
    assert "database-user --admin-uri-from-stdin" in SERVICES["rights"]["command"][-1]


@pytest.mark.parametrize("name", ["mongo", "worker", "proxy"])
def test_services_have_healthchecks_and_come_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["app", "worker"])
def test_server_and_worker_wait_for_the_indexes_and_the_data(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["command"] == ["python", "-m", "scripts", "migrate"]
    assert (
        SERVICES["migrate"]["depends_on"]["indexes"]["condition"]
        == "service_completed_successfully"
    )
    assert SERVICES["indexes"]["command"][-1].split(" && ") == [
        "python -m scripts indexes apply",
        "python -m scripts indexes verify",
    ]


def variables() -> dict[str, str]:
    """What the compose file takes from `.env`, and what it takes instead."""
    text = (ROOT / "docker-compose.yml").read_text()
    return dict(re.findall(r"\$\{(\w+):?-?([^}]*)\}", text))


def test_no_secret_has_a_default() -> None:
    """Without its password MongoDB refuses to start; keys are files that are not there."""
    found = variables()
    assert found["MONGO_PASSWORD"] == found["MONGO_ROOT_PASSWORD"] == ""
    assert not (ROOT / found["MONGO_KEYFILE"]).exists()
    assert not (ROOT / found["TOKEN_KEY_FILE"]).exists()
    assert not (ROOT / found["SECRET_KEY_FILE"]).exists()
    assert found["SENDER_SECRET"] == ""


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if not line.startswith("#") and line
    )
    of_size = {
        "SATCHEL_IMAGE",
        "CADDY_TRUSTED_PROXIES",
        "MONGO_ROOT_USERNAME",
        "MONGO_MEMORY",
        "SATCHEL_MEMORY",
    }
    assert variables().keys() - of_size <= example.keys()
    secrets = ("MONGO_ROOT_PASSWORD", "MONGO_PASSWORD", "SENDER_SECRET")
    assert [example[name] for name in secrets] == ["", "", ""]


def test_the_image_is_not_root_checks_itself_and_is_pinned() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK [\s\S]*/livez", DOCKERFILE, re.MULTILINE)
    assert "-c constraints.txt ." in DOCKERFILE
    assert "[dev" not in DOCKERFILE


def test_the_proxy_has_deadlines_for_slow_clients_and_lets_events_through() -> None:
    caddyfile = (ROOT / "Caddyfile").read_text()
    assert all(
        line in caddyfile
        for line in ("read_header 5s", "read_body 15s", "max_size", "flush_interval -1")
    )


def test_the_proxy_leaves_packing_to_satchel() -> None:
    lines = [line.strip() for line in (ROOT / "Caddyfile").read_text().splitlines()]
    assert not any(line.startswith("encode") for line in lines)
    assert "compression off" in lines


def test_every_dependency_is_pinned_exactly() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {re.sub(r"[._-]+", "-", line.split("==")[0]).lower() for line in lines}
    asked = re.findall(
        r'^\s+"([A-Za-z0-9._-]+)[\[>=]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert {re.sub(r"[._-]+", "-", name).lower() for name in asked} <= pinned
