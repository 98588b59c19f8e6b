"""Every example in the document, of a body or of a parameter, is sent to its own route and
accepted.

Only what nobody can know beforehand is put in: ids, codes, tokens. A route that is new is among
these cases by itself.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema_rs
import pytest
from pydantic import SecretStr

from app.web.openapi.patch_bodies import MERGE_PATCH, REF
from tests.cast import enrol
from tests.conftest import MakeApi
from tests.described import DOCUMENT, OPERATIONS, examples_of
from tests.factories.bodies import CANNOT_SERVE, EXAMPLES
from tests.factories.scenes import GIT_TOKEN
from tests.factories.stages import TELLER_SECRET, Stage, parameter_examples
from tests.harness import version_of
from tests.outside.hosts.github import GitHubServer
from tests.outside.sign_in import SENDER_SECRET, Issuer, Mailbox, serving

Example = tuple[str, str | None, Any]
"""Operation, media type (None: only its parameters have examples), body."""


def examples() -> Iterator[Any]:
    for name, operation in OPERATIONS.items():
        content = operation.get("requestBody", {}).get("content", {})
        for media, described in content.items():
            for number, example in enumerate(examples_of(described)):
                yield pytest.param(name, media, example, id=f"{name} {media} {number}")
        if not content and parameter_examples(operation):
            yield pytest.param(name, None, None, id=f"{name} parameters")


@pytest.fixture(scope="module")
def _outside() -> Iterator[tuple[Issuer, Mailbox]]:
    issuer, mailbox = Issuer(), Mailbox()
    with serving(issuer, mailbox):
        yield issuer, mailbox


@pytest.fixture
async def stage(make_api: MakeApi, _outside: tuple[Issuer, Mailbox]) -> AsyncIterator[Stage]:
    issuer, mailbox = _outside
    host = GitHubServer()
    host.add("example/notes", GIT_TOKEN)
    await host.server.start()
    try:
        api = await make_api(
            google_client_ids=["client"],
            google_issuers=[issuer.url],
            google_jwks_url=f"{issuer.url}/keys",
            sender_url=mailbox.url,
            sender_secret=SecretStr(SENDER_SECRET),
            github_api_url=host.server.url,
            teller_webhook_secrets=[SecretStr(TELLER_SECRET)],
            public_url="https://satchel.example",
        )
        yield Stage(api, await enrol(api), issuer, mailbox, host)
    finally:
        await host.server.stop()


@pytest.mark.parametrize(("name", "media", "example"), list(examples()))
async def test_an_example_is_accepted_by_its_own_route(
    stage: Stage, name: str, media: str | None, example: Any
) -> None:
    method, path = name.split(" ")
    shown = parameter_examples(OPERATIONS[name])
    place = await stage.place(path, shown)
    if method != "PUT":
        await stage.store(path, place)
    body = await stage.known(path, example)
    answer = await stage.send(method, place, media or "application/json", body, shown)
    assert 200 <= answer.status_code < 300, answer.text


def test_every_body_is_among_the_examples() -> None:
    sent = {param.values[0] for param in examples()}
    bodies = {name for name, operation in OPERATIONS.items() if "requestBody" in operation}
    assert bodies - sent == set(), "give each an example in the `examples.py` of its domain"


def test_what_is_sent_in_place_of_an_example_is_another_body_of_a_route_that_there_is() -> None:
    useless = {name for name, body in CANNOT_SERVE.items() if EXAMPLES.get(name, body) == body}
    assert useless == set(), "take each out of `CANNOT_SERVE` (tests/factories/bodies.py)"


MERGED = [name for name in OPERATIONS if name.startswith("PATCH ") and "{dataKey}" not in name]


@pytest.mark.parametrize("name", MERGED)
async def test_null_takes_a_field_away_where_the_document_says_so_and_nowhere_else(
    stage: Stage, name: str
) -> None:
    media = OPERATIONS[name]["requestBody"]["content"][MERGE_PATCH]
    schemas = DOCUMENT["components"]["schemas"]
    fields = schemas[media["schema"]["$ref"].removeprefix(REF)]["properties"]
    nullable = {
        key for key, schema in fields.items() if {"type": "null"} in schema.get("anyOf", [])
    }
    place = await stage.place(name.split(" ")[1], {})
    shown = (await stage.caller(place).get(place)).json()
    for key in sorted(shown.keys() & fields.keys() - nullable):
        refused = await stage.send("PATCH", place, MERGE_PATCH, {key: None}, {})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{key}")
    taken = await stage.send("PATCH", place, MERGE_PATCH, dict.fromkeys(nullable), {})
    assert taken.status_code == 200, taken.text
    assert shown.keys() & fields.keys()


GUARDED = [
    name
    for name, operation in OPERATIONS.items()
    if "412" in operation["responses"] and not name.endswith("/apps/{appId}/batch")
]
GUARDS = {"If-Match": '"77"', "If-Unmodified-Since": "Fri, 20 Nov 2020 08:30:00 GMT"}


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("name", GUARDED)
async def test_a_guard_that_does_not_hold_is_answered_as_the_document_says(
    stage: Stage, name: str, guard: str
) -> None:
    """By each header that it names, on each route, with a `current` of the type that it says."""
    method, path = name.split(" ")
    described = OPERATIONS[name]
    assert guard in {parameter["name"] for parameter in described["parameters"]}
    content = described.get("requestBody", {}).get("content", {})
    media, example = next(
        ((media, examples_of(part)[0]) for media, part in content.items()), (MERGE_PATCH, None)
    )
    place = await stage.place(path, parameter_examples(described))
    await stage.store(path, place)
    body = await stage.known(path, example)
    answer = await stage.send(method, place, media, body, {("header", guard): GUARDS[guard]})
    assert (answer.status_code, answer.json()["code"]) == (412, "version_mismatch"), answer.text
    schema = described["responses"]["412"]["content"]["application/problem+json"]["schema"]
    jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}).validate(
        answer.json()
    )
    assert answer.json()["current"]["version"] == version_of(answer)
