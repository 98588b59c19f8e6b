"""The dashboard and the alert rules in `deploy/` ask for what a served Satchel shows, and for
nothing else."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.docs import measures
from tests.serving import served

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = [
    panel
    for panel in json.loads((DEPLOY / "grafana" / "dashboards" / "satchel.json").read_text())[
        "panels"
    ]
    if panel["type"] != "row"
]
TARGETS = {"job", "instance"}
"""Labels that Prometheus gives to all that it scrapes."""
SINCE = re.compile(r"\$__rate_interval")
USED = re.compile(r"\$labels\.(\w+)")
NAMED = re.compile(r"{{(\w+)}}")


def expressions() -> list[tuple[str, str, set[str]]]:
    """What each expression is for, itself, and the labels that its legend or summary names."""
    found = [
        (rule["alert"], rule["expr"], set(USED.findall(rule["annotations"]["summary"])))
        for rule in RULES
    ]
    return found + [
        (panel["title"], SINCE.sub("5m", each["expr"]), set(NAMED.findall(each["legendFormat"])))
        for panel in PANELS
        for each in panel["targets"]
    ]


def nodes(expression: Any) -> Iterator[Any]:
    """An expression and all that is within it."""
    yield expression
    for name in dir(expression):
        value = None if name.startswith("_") else getattr(expression, name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, promql.Expr):
                yield from nodes(each)


def selectors(expression: Any) -> list[Any]:
    return [each for each in nodes(expression) if isinstance(each, promql.VectorSelector)]


def grouped(expression: Any) -> set[str]:
    """The labels by which an expression groups."""
    return {
        str(label)
        for each in nodes(expression)
        if isinstance(each, promql.AggregateExpr) and each.modifier is not None
        for label in each.modifier.labels
    }


@dataclass(frozen=True)
class Shown:
    """What is exposed: the labels of each name, and the values that each label has."""

    labels: dict[str, set[str]]
    values: dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def shown(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("shown")
    with served(mongodb_uri, folder, worker_metrics_port=str(port)) as satchel:
        satchel.start("worker")
        traffic(satchel)
        worker = f"http://127.0.0.1:{port}/metrics"
        texts = [httpx2.get(f"{satchel.url}/metrics").text, worker_text(worker)]
    found = Shown({}, {})
    declared = {name: set(each._labelnames) for name, each in measures().items()}
    for text in texts:
        for family in text_string_to_metric_families(text):
            read(family, declared, found)
    return found


def read(family: Any, declared: dict[str, set[str]], found: Shown) -> None:
    """Note a family: its labels as its samples have them, as they are declared where nothing has
    happened that is counted by it."""
    if not family.name.startswith("satchel_") or family.name.endswith("_created"):
        return
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    for ending in endings.get(family.type, [""]):
        name = f"{family.name}{ending}"
        known = declared.get(name, declared.get(family.name, set()))
        found.labels[name] = known | ({"le"} if ending == "_bucket" else set())
    for sample in family.samples:
        if sample.name in found.labels:
            assert set(sample.labels) == found.labels[sample.name], sample.name
        for label, value in sample.labels.items():
            found.values.setdefault((sample.name, label), set()).add(value)


def traffic(satchel: Any) -> None:
    """Some of everything that a server serves."""
    user = satchel.post("/v1/users", {"email": "a@example.com"})["id"]
    data = f"{satchel.url}/v1/users/{user}/apps/notes"
    satchel_put = httpx2.put(f"{data}/data/a", json=1, headers=satchel.headers)
    assert satchel_put.status_code == 201, satchel_put.text
    for path in (f"/v1/users/{user}/apps/notes/changes", "/v1/users"):
        satchel.get(path)
    httpx2.post(f"{satchel.url}/v1/auth/otp", json={"email": "a@example.com"})
    code = {"challengeId": "none", "code": "000000"}
    refused = httpx2.post(f"{satchel.url}/v1/auth/otp/verify", json=code)
    assert refused.status_code == 401
    httpx2.get(f"{satchel.url}/nowhere")


def worker_text(url: str) -> str:
    """A worker's metrics, once it has measured the database and done a job."""
    text = ""
    for _ in range(600):
        try:
            text = httpx2.get(url).text
        except httpx2.TransportError:
            text = ""
        done = ('oldest_seconds{state="dead"}', "satchel_jobs_due{", "satchel_job_seconds_count{")
        if all(each in text for each in done):
            return text
        time.sleep(0.1)
    raise AssertionError(text[-2000:])


@pytest.mark.parametrize(
    ("of", "expression", "named"), expressions(), ids=[each[0] for each in expressions()]
)
def test_what_is_asked_for_is_shown(
    shown: Shown, of: str, expression: str, named: set[str]
) -> None:
    parsed = promql.parse(expression)
    known: set[str] = set()
    assert selectors(parsed), of
    for selector in selectors(parsed):
        if selector.name == "up":
            known |= TARGETS
            continue
        assert selector.name in shown.labels, f"{of}: {selector.name} is not shown"
        known |= shown.labels[selector.name] | TARGETS
        for matcher in selector.matchers.matchers:
            assert matcher.name in shown.labels[selector.name] | TARGETS, f"{of}: {matcher.name}"
    assert grouped(parsed) <= known, of
    aggregates = any(isinstance(each, promql.AggregateExpr) for each in nodes(parsed))
    assert named <= ((grouped(parsed) - {"le"}) if aggregates else known), of


VALUES = {
    ("satchel_codes_refused_total", "reason"): {"resend", "requester", "service", "sender"},
    ("satchel_refreshes_refused_total", "reason"): {"not_valid", "inactive", "reused"},
    ("satchel_card_event_backlog", "state"): {"waiting", "dead"},
    ("satchel_card_event_oldest_seconds", "state"): {"waiting", "dead"},
}


def test_what_is_compared_with_is_there_before_it_first_happens(shown: Shown) -> None:
    """An increase from nothing at all is none to Prometheus."""
    for place, values in VALUES.items():
        assert shown.values.get(place) == values, place
    wanted = {
        (selector.name, matcher.name): matcher.value
        for _, expression, _ in expressions()
        for selector in selectors(promql.parse(expression))
        for matcher in selector.matchers.matchers
        if str(matcher.op) == "MatchOp.Equal" and matcher.name not in TARGETS
    }
    assert {place: value for place, value in wanted.items() if place in VALUES} != {}
    for place, value in wanted.items():
        assert place not in VALUES or value in VALUES[place]


def test_everything_that_is_measured_is_on_the_dashboard(shown: Shown) -> None:
    asked = {
        selector.name
        for _, expression, _ in expressions()
        for selector in selectors(promql.parse(expression))
    }
    ours = {name for name in measures() if not any(each.startswith(name) for each in asked)}
    assert ours == {
        "satchel_change_feed_changes_total",
        "satchel_change_feed_open",
        "satchel_guests_expired_total",
    }
    assert set(measures()) <= {name.removesuffix("_count") for name in shown.labels}


def test_the_page_says_what_to_do_about_each_alert() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    told = re.findall(r"^\| `(Satchel\w+)` \| \S.* \|$", page, re.MULTILINE)
    assert told == [rule["alert"] for rule in RULES]
    assert {rule["labels"]["severity"] for rule in RULES} == {"critical", "warning"}


PROMTOOL = shutil.which("promtool") or str(Path(sys.executable).with_name("promtool"))
needs_promtool = pytest.mark.skipif(
    not Path(PROMTOOL).exists(), reason="promtool is neither installed nor to be had from Debian"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROMTOOL, *map(str, arguments)], check=False, capture_output=True, text=True
    )


@needs_promtool
def test_prometheus_takes_the_rules_and_the_scrape() -> None:
    done = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """By Prometheus's own test runner: values by the minute, and what fires then."""
    fires: dict[str, list[tuple[str, str]]] = {
        "SatchelLedgerBehind": [("satchel_ledger_waiting_seconds", "0x20 60+60x40")],
        "SatchelLedgerLarge": [("satchel_ledger_files", "10x20 60000x40")],
        "SatchelLivingRoot": [('satchel_living_roots_total{collection="users"}', "0x20 1x40")],
        "SatchelNoWorker": [("satchel_jobs_due", "0x20 _x40")],
        "SatchelDatabaseGone": [('satchel_mongodb_up{job="satchel"}', "1x20 0x40")],
        "SatchelServerDown": [('up{job="satchel", instance="a:8000"}', "1x20 0x40")],
    }
    quiet = [name for name in fires if name != "SatchelNoWorker"]
    body = {
        "rule_files": [str(DEPLOY / "prometheus" / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                        "eval_time": moment,
                        "exp_samples": [{"labels": "{}", "value": 1}] if moment == "58m" else [],
                    }
                    for moment in (("15m", "58m") if alert in quiet else ("58m",))
                ],
            }
            for alert, series in fires.items()
        ],
    }
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(body))
    done = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
