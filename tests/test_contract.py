"""The API keeps its contract: Schemathesis against a server that runs as in production, with what
OpenAPI says."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from pymongo import MongoClient
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.api_key import hash_key
from scripts.mongod import end_with_starter
from tests.described import DOCUMENT, OPERATIONS, examples_of
from tests.outside.strangers import strangers
from tests.serving import prepare

ROOT = Path(__file__).parent.parent
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


schema = schemathesis.openapi.from_dict(DOCUMENT)


@dataclass(frozen=True)
class Served:
    """A running server, the admin's credentials, and a user who exists."""

    url: str
    headers: dict[str, str]
    user_id: str


@pytest.fixture(scope="module")
def served(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    database, folder = "contract", tmp_path_factory.mktemp("contract")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = f"sk_{secrets.token_urlsafe(32)}"
    key = {"name": "contract", "scopes": ["admin"], "hash": hash_key(secret), "version": 1}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SATCHEL_")},
        "SATCHEL_MONGODB_URI": mongodb_uri,
        "SATCHEL_DATABASE": database,
        "SATCHEL_DATA_DIR": str(folder),
        "SATCHEL_PORT": str(port),
        "SATCHEL_LOG_REQUESTS": "false",
        "SATCHEL_EVENT_STREAM_SECONDS": "0.2",
    }
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"http://127.0.0.1:{port}"
    with (
        MongoClient[dict[str, Any]](mongodb_uri) as client,
        (folder / "log").open("wb") as log,
        strangers() as outside,
    ):
        environment |= outside
        client[database]["apikeys"].insert_one(key)
        prepare(environment)
        server = subprocess.Popen(
            [sys.executable, "-m", "scripts", "serve"],
            env=environment,
            cwd=ROOT,
            stderr=log,
            preexec_fn=end_with_starter(),  # noqa: PLW1509  # as `scripts run` starts it
        )
        try:
            _wait(server, url)
            user = httpx2.post(
                f"{url}/v1/users", json={"email": "ann@example.com"}, headers=headers
            ).json()["id"]
            yield Served(url, headers, user)
        finally:
            server.terminate()
            server.wait(30)
            client.drop_database(database)


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            continue
    raise AssertionError(f"the server did not become ready (code {server.poll()})")


@schemathesis.serializer("application/x-ndjson")
def lines_of(_: Any, value: Any) -> bytes:
    """Bodies of one JSON text a line."""
    if isinstance(value, bytes | str):
        return value if isinstance(value, bytes) else value.encode()
    rows = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@schema.parametrize()
@settings(
    max_examples=20,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case: schemathesis.Case, served: Served) -> None:
    """Of a user who exists, where one is named, or nearly every answer would be 404."""
    if (
        "userId" in (case.path_parameters or {})
        and case.operation.label != "DELETE /v1/users/{userId}"
    ):
        case.path_parameters["userId"] = served.user_id
    if (case.query or {}).get("userId"):
        case.query["userId"] = served.user_id
    case.call_and_validate(base_url=served.url, headers=served.headers, checks=CHECKS, timeout=30)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["tags"]
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            assert list(response["content"]) == ["application/problem+json"]


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if name.split(" ")[1].startswith("/v1/")]
)
def test_every_operation_says_its_problems_and_asks_for_credentials(name: str) -> None:
    operation = OPERATIONS[name]
    assert {"401", "403", "422", "503"} <= operation["responses"].keys()
    signed = operation.get("security") == [{"WebhookSignature": []}]
    assert bool(operation.get("security")) == (
        signed or not operation["x-satchel-access"]["public"]
    )
    if "{" in name:
        assert "404" in operation["responses"]


@pytest.mark.parametrize(
    "name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation]
)
def test_every_body_has_an_example_and_its_limits_as_problems(name: str) -> None:
    operation = OPERATIONS[name]
    for media in operation["requestBody"]["content"].values():
        assert "example" in media or "examples" in media
    assert "413" in operation["responses"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_an_example_and_every_example_is_valid(name: str) -> None:
    """Of what is sent or of what is answered; both are checked by the schema that stands beside
    them."""
    operation = OPERATIONS[name]
    answers = {
        status: answer for status, answer in operation["responses"].items() if int(status) < 300
    }
    contents = [
        operation.get("requestBody", {}),
        *answers.values(),
        *operation["responses"].values(),
    ]
    shown = [
        (media.get("schema", {}), example)
        for content in contents
        for media in content.get("content", {}).values()
        for example in examples_of(media)
    ]
    no_content = not any(answer.get("content") for answer in answers.values())
    assert no_content or any(
        examples_of(media)
        for content in (operation.get("requestBody", {}), *answers.values())
        for media in content.get("content", {}).values()
    )
    for schema_of_it, example in shown:
        whole = {**schema_of_it, "components": DOCUMENT["components"]}
        jsonschema_rs.validator_for(whole).validate(example)


PLACES_OF_VERSIONS = {"get": "304", "put": "412", "patch": "412", "delete": "412", "post": "412"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, operation in OPERATIONS.items()
        if operation["responses"].keys() & {"304", "412"}
        and not name.endswith("/apps/{appId}/batch")
    ],
)
def test_what_honours_a_precondition_says_so(name: str) -> None:
    operation, method = OPERATIONS[name], name.split(" ", maxsplit=1)[0].lower()
    headers = {
        parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"
    }
    wanted = {
        "If-Match",
        "If-Unmodified-Since",
        *(["If-None-Match"] if method in ("get", "put") else []),
    }
    if "412" not in operation["responses"]:  # a list: its tag is for whoever has the page already
        assert (
            headers & {"If-Match", "If-None-Match"},
            "ETag" in operation["responses"]["200"]["headers"],
        ) == (
            {"If-None-Match"},
            True,
        )
        return
    assert wanted <= headers
    assert PLACES_OF_VERSIONS[method] in operation["responses"]
    assert "ETag" in operation["responses"]["412"]["headers"]
    if method in ("get", "put", "patch"):
        assert "ETag" in operation["responses"]["200"]["headers"]


def test_the_operations_that_honour_a_precondition_are_these() -> None:
    found = {name for name, operation in OPERATIONS.items() if "412" in operation["responses"]}
    value = "/v1/users/{userId}/apps/{appId}/data/{dataKey}"
    assert found >= {
        *(
            "PATCH /v1/users/{userId}",
            "DELETE /v1/users/{userId}",
            "DELETE /v1/api-keys/{keyId}",
            "PUT /v1/apps/{appId}",
        ),
        *(
            f"{method} /v1/users/{{userId}}/{name}"
            for method in ("PUT", "PATCH")
            for name in ("profile", "preferences")
        ),
        *(f"{method} {value}" for method in ("PUT", "PATCH", "DELETE")),
    }


def test_every_reference_leads_somewhere() -> None:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for part in node.values():
                yield from walk(part)
        elif isinstance(node, list):
            for part in node:
                yield from walk(part)

    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(walk(DOCUMENT)) <= known
