"""The examples of `deploy/`: what runs them takes them, and they say what compose says."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.settings import Settings
from app.settings.faults import PREFIX
from tests.factories.productions import production

ROOT = Path(__file__).parent.parent
MANIFESTS = [
    (path.name, document)
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
SECRETS = {"SATCHEL_MONGODB_URI", "SATCHEL_SENDER_URL", "SATCHEL_SENDER_SECRET"}
"""Settings that are in the secret of Kubernetes, not in its ConfigMap."""


def of_kind(kind: str) -> Iterator[dict[str, Any]]:
    yield from (document for _, document in MANIFESTS if document["kind"] == kind)


def pods() -> Iterator[dict[str, Any]]:
    for kind in ("Deployment", "Job"):
        yield from (each["spec"]["template"]["spec"] for each in of_kind(kind))


def containers() -> Iterator[dict[str, Any]]:
    for pod in pods():
        yield from [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize(
    ("name", "document"), MANIFESTS, ids=[f"{n}-{d['kind']}" for n, d in MANIFESTS]
)
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes_takes_every_manifest(name: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_manifest_with_a_wrong_field_is_refused() -> None:
    document = next(of_kind("Deployment"))
    wrong = {**document, "spec": {**document["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_every_pod_is_without_rights_and_within_limits() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
    for container in containers():
        context = container["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (
            True,
            False,
        )
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_no_manifest_has_a_secret_and_every_setting_exists() -> None:
    assert list(of_kind("Secret")) == []
    [config] = of_kind("ConfigMap")
    fields = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(config["data"]) <= fields
    assert not SECRETS & set(config["data"])


def test_a_server_leaves_within_the_time_that_its_pod_has() -> None:
    """Not ready first, for longer than the probe takes to see it; then what is under way."""
    [config] = of_kind("ConfigMap")
    delay, grace = (
        int(config["data"][f"SATCHEL_SHUTDOWN_{name}_SECONDS"]) for name in ("DELAY", "GRACE")
    )
    server = next(each for each in of_kind("Deployment") if "server" in each["metadata"]["name"])
    pod = server["spec"]["template"]["spec"]
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["periodSeconds"] * probe["failureThreshold"] < delay
    assert delay + grace < pod["terminationGracePeriodSeconds"]
    assert server["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_what_selects_a_pod_finds_it() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind("Deployment")]
    selectors = [each["spec"]["selector"] for each in of_kind("Service")]
    selectors += [
        each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget")
    ]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind("Deployment")]
    for selector in selectors:
        assert [one for one in labels if selector.items() <= one.items()]


def test_every_way_prepares_by_the_same_commands() -> None:
    wanted = ["indexes apply", "indexes verify", "migrate"]
    [job] = of_kind("Job")
    spec = job["spec"]["template"]["spec"]
    of_job = [" ".join(one["command"]) for one in (*spec["initContainers"], *spec["containers"])]
    unit = (ROOT / "deploy/systemd/satchel-prepare.service").read_text()
    for text in ("\n".join(of_job), unit):
        assert [line for line in wanted if line.replace(" ", "") in text.replace(" ", "")] == wanted


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    """With a program that is there, in the place of the one that an operator installs."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/satchel/bin/python", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("*.service")))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_units_wait_for_what_prepares_the_database() -> None:
    assert len(UNITS) == 3
    for unit in UNITS:
        if unit.name != "satchel-prepare.service":
            assert "Requires=satchel-prepare.service" in unit.read_text()
            assert "MemoryMax=" in unit.read_text()


def test_the_example_of_an_environment_is_all_that_a_production_needs(tmp_path: Path) -> None:
    """With its secrets made, and read as systemd reads it."""
    text = (ROOT / "deploy/systemd/environment.example").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    told = {PREFIX + name.upper(): value for name, value in production(tmp_path).items()}
    given = dict(line.split("=", 1) for line in lines)
    assert set(told) <= set(given), "what a production does not start without"
    fields = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(given) <= fields
    made = {name: told.get(name, value) for name, value in given.items()}
    done = subprocess.run(
        [sys.executable, "-c", "from app.settings import load_settings; load_settings()"],
        env={"PATH": os.environ["PATH"], **made},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
