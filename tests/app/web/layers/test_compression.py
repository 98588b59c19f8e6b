"""Answers above 1 KiB are packed for whoever takes them packed, and their tags go on guarding what
they name."""

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import zstandard

from app.web.etags import CODINGS, coded, plain
from app.web.layers.compression import (
    MINIMUM,
    SECRET_ANSWERS,
    choose,
)
from tests.cast import Cast
from tests.harness import Api, Caller

VALUE, PROFILE = "/v1/users/me/apps/notes/data/k", "/v1/users/me/profile"
LARGE = {"text": "what is said again and again. " * 100}
UNPACK: dict[str | None, Callable[[bytes], bytes]] = {
    "zstd": lambda packed: zstandard.ZstdDecompressor().decompressobj().decompress(packed),
    "gzip": lambda packed: zlib.decompress(packed, 31),
    None: lambda packed: packed,
}
CHOICES: dict[str, tuple[str | None, int]] = {
    "": (None, MINIMUM),
    "gzip": ("gzip", MINIMUM),
    "x-gzip": ("gzip", MINIMUM),
    "zstd": ("zstd", MINIMUM),
    "gzip, deflate, br, zstd": ("zstd", MINIMUM),
    "gzip, deflate": ("gzip", MINIMUM),
    "GZIP": ("gzip", MINIMUM),
    "br": (None, MINIMUM),
    "identity": (None, MINIMUM),
    "*": ("gzip", MINIMUM),
    "*;q=0": (None, MINIMUM),
    "gzip;q=0": (None, MINIMUM),
    "gzip;q=0, *": (None, MINIMUM),
    "zstd;q=0, gzip": ("gzip", MINIMUM),
    "zstd;q=0.5, gzip;q=0.8": ("gzip", MINIMUM),
    "zstd;q=0.8, gzip;q=0.8": ("zstd", MINIMUM),
    "gzip;q=0.001": ("gzip", MINIMUM),
    "gzip ; q=0.5": ("gzip", MINIMUM),
    "gzip;Q=0": (None, MINIMUM),
    "identity;q=1, gzip;q=0.5": (None, MINIMUM),
    "identity;q=0.5, gzip;q=1": ("gzip", MINIMUM),
    "identity, gzip": ("gzip", MINIMUM),
    "gzip, identity;q=0": ("gzip", 1),
    "gzip, *;q=0": ("gzip", 1),
    "identity, gzip;q=0.5, *;q=0": (None, MINIMUM),
    "br, identity;q=0": (None, MINIMUM),
    "gzip;q=nan": (None, MINIMUM),
    "gzip;q=2": (None, MINIMUM),
    "gzip;q=x, zstd": ("zstd", MINIMUM),
    ",, ;q=1, gzip": ("gzip", MINIMUM),
    "gzip, " + "x" * 5000: ("gzip", MINIMUM),
}


@pytest.mark.parametrize("accepted", CHOICES, ids=lambda text: text[:40] or "none")
def test_the_coding_that_a_client_likes_best_is_chosen(accepted: str) -> None:
    assert choose(accepted.encode()) == CHOICES[accepted]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_tag_says_how_its_bytes_are_packed_and_no_other_is_taken_for_that(coding: str) -> None:
    tag = f'"3.k2Jd0aQ-{coding}"'  # the tag of a document may end so by chance
    assert plain(tag) == tag
    assert plain(coded(tag, coding)) == tag != coded(tag, coding)
    assert coded('W/"3.k2Jd0aQx9vLm"', coding) == 'W/"3.k2Jd0aQx9vLm"'


async def fetch(
    caller: Caller, path: str, accept: str | None, **options: Any
) -> tuple[httpx2.Response, bytes]:
    """An answer, and the bytes of its body as they are on the wire."""
    method, headers = options.pop("method", "GET"), {"Authorization": f"Bearer {caller.credential}"}
    headers |= options.pop("headers", {})
    request = caller._client.build_request(method, path, headers=headers, **options)
    del request.headers["accept-encoding"]
    if accept is not None:
        request.headers["accept-encoding"] = accept
    answer = await caller._client.send(request, stream=True)
    sent = b"".join([part async for part in answer.aiter_raw()])
    return answer, sent


async def fill(cast: Cast) -> None:
    assert (await cast.owner.put(VALUE, json=LARGE)).status_code == 201
    assert (await cast.owner.put(PROFILE, json={"metadata": LARGE})).status_code == 200
    names = [f"name {number} {'of a rather long kind ' * 3}" for number in range(30)]
    events = [{"appId": "notes", "eventName": name, "eventCategory": "custom"} for name in names]
    assert (await cast.admin.post("/v1/analytics/events", json=events)).status_code == 200


READS = {
    "hot": VALUE,
    "document": PROFILE,
    "list": "/v1/users/me/apps/notes/data",
    "rows as JSON": "/v1/analytics/live?appId=notes",
    "rows as NDJSON": "/v1/analytics/top?appId=notes&limit=50&format=ndjson",
    "rows as CSV": "/v1/analytics/top?appId=notes&limit=50&format=csv",
    "OpenAPI": "/openapi.json",
    "page": "/docs/errors",
    "file": "/docs/static/swagger-ui-bundle.js",
    "script": "/console/static/chart.js",
    "metrics": "/metrics",
}


@pytest.mark.parametrize("coding", [*CODINGS, None], ids=str)
@pytest.mark.parametrize("path", READS.values(), ids=READS)
async def test_what_is_large_is_packed_and_the_same_unpacked(
    cast: Cast, path: str, coding: str | None
) -> None:
    await fill(cast)
    whole, _ = await fetch(cast.admin if "analytics" in path else cast.owner, path, None)
    answer, sent = await fetch(cast.admin if "analytics" in path else cast.owner, path, coding)
    assert (whole.status_code, answer.status_code) == (200, 200)
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["content-type"] == whole.headers["content-type"]
    assert "Accept-Encoding" in re.split(r",\s*", answer.headers["vary"])
    assert "Accept-Encoding" in re.split(r",\s*", whole.headers["vary"])
    assert "content-length" not in answer.headers or int(answer.headers["content-length"]) == len(
        sent
    )
    unpacked = UNPACK[coding](sent)
    assert len(unpacked) >= MINIMUM
    if path not in ("/metrics", READS["rows as JSON"]):
        assert int(whole.headers["content-length"]) == len(unpacked)
    assert coding is None or len(sent) < len(unpacked)


@pytest.mark.parametrize("path", [VALUE, PROFILE, "/livez", "/.well-known/jwks.json"])
async def test_what_is_small_is_left_as_it_is_unless_nothing_plain_is_taken(
    cast: Cast, path: str
) -> None:
    await cast.owner.put(VALUE, json=1)
    answer, sent = await fetch(cast.owner, path, "zstd, gzip")
    assert "content-encoding" not in answer.headers
    packed, bytes_ = await fetch(cast.owner, path, "zstd, identity;q=0")
    assert (packed.headers["content-encoding"], UNPACK["zstd"](bytes_)) == ("zstd", sent)
    assert packed.headers["vary"].endswith("Accept-Encoding")


async def test_lines_of_accept_encoding_are_one_list(cast: Cast, api: Api) -> None:
    await fill(cast)
    headers = [("Authorization", f"Bearer {cast.owner.credential}"), ("Accept-Encoding", "br")]
    for path in (VALUE, PROFILE):
        answer = await api.client.get(path, headers=[*headers, ("Accept-Encoding", "zstd")])
        assert answer.headers["content-encoding"] == "zstd"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("path", [VALUE, PROFILE])
async def test_the_tag_of_a_packed_answer_names_other_bytes_and_the_same_document(
    cast: Cast, path: str, coding: str
) -> None:
    await fill(cast)
    bare = (await fetch(cast.owner, path, None))[0].headers["etag"]
    tags = {each: (await fetch(cast.owner, path, each))[0].headers["etag"] for each in CODINGS}
    assert len({bare, *tags.values()}) == 3
    assert tags[coding] == f'{bare[:-1]}.{coding}"'
    for sent in (tags[coding], f'"9", {tags[coding]}', f"W/{tags[coding]}"):
        for accept in (coding, None):
            known, body = await fetch(cast.owner, path, accept, headers={"If-None-Match": sent})
            assert (known.status_code, body, known.headers["etag"]) == (304, b"", tags[coding])
            assert "Accept-Encoding" in known.headers["vary"]
    assert (await fetch(cast.owner, path, coding, headers={"If-None-Match": bare}))[0].headers[
        "etag"
    ] == bare
    assert (await fetch(cast.owner, path, coding, headers={"If-Match": tags[coding]}))[
        0
    ].status_code == 200


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_tag_of_a_packed_answer_guards_every_write(cast: Cast, coding: str) -> None:
    await fill(cast)

    async def guard(path: str, caller: Caller = cast.owner) -> dict[str, str]:
        answer, _ = await fetch(caller, path, f"{coding}, identity;q=0")
        assert answer.headers["etag"].endswith(f'.{coding}"')
        return {"If-Match": answer.headers["etag"]}

    old = {path: await guard(path) for path in (VALUE, PROFILE, "/v1/users/me")}
    assert (await cast.owner.put(VALUE, json=LARGE, headers=old[VALUE])).status_code == 200
    assert (
        await cast.owner.put(PROFILE, json={"bio": "x"}, headers=old[PROFILE])
    ).status_code == 200
    assert (
        await cast.owner.merge("/v1/users/me", {"name": "x"}, headers=old["/v1/users/me"])
    ).status_code == 200
    for path in (VALUE, PROFILE):
        late = await cast.owner.put(path, json={}, headers=old[path])
        assert (late.status_code, late.json()["code"]) == (412, "version_mismatch")
    assert (
        await cast.owner.merge(PROFILE, {"bio": "y"}, headers=await guard(PROFILE))
    ).status_code == 200
    assert (await cast.owner.merge(VALUE, {"a": 1}, headers=await guard(VALUE))).status_code == 200
    assert (await cast.owner.delete(VALUE, headers=await guard(VALUE))).status_code == 204
    assert (await cast.owner.delete("/v1/users/me", headers=old["/v1/users/me"])).status_code == 412
    assert (
        await cast.owner.delete("/v1/users/me", headers=await guard("/v1/users/me"))
    ).status_code == 200


@pytest.mark.parametrize("path", [VALUE, PROFILE])
async def test_a_large_problem_is_packed_and_its_tag_makes_the_next_write(
    cast: Cast, path: str
) -> None:
    await fill(cast)
    late, sent = await fetch(
        cast.owner, path, "zstd", method="PUT", json={}, headers={"If-Match": '"99"'}
    )
    assert (late.status_code, late.headers["content-encoding"]) == (412, "zstd")
    assert json.loads(UNPACK["zstd"](sent))["current"]
    assert late.headers["etag"].endswith('.zstd"')
    assert (
        await cast.owner.put(path, json={}, headers={"If-Match": late.headers["etag"]})
    ).status_code == 200


@pytest.mark.parametrize("path", READS.values(), ids=READS)
async def test_head_says_what_get_says(cast: Cast, path: str) -> None:
    await fill(cast)
    caller, names = (
        cast.admin if "analytics" in path else cast.owner,
        (
            "content-encoding",
            "etag",
            "vary",
        ),
    )
    for coding in CODINGS:
        found, _ = await fetch(caller, path, coding)
        head, body = await fetch(caller, path, coding, method="HEAD")
        assert body == b""
        assert [head.headers.get(name) for name in names] == [
            found.headers.get(name) for name in names
        ]
        if path not in ("/metrics", READS["rows as JSON"]):
            assert head.headers.get("content-length") == found.headers.get("content-length")


def secrets_shown(document: dict[str, Any]) -> set[str]:
    """The operations whose answers show a token, a key or a secret."""
    schemas = document["components"]["schemas"]
    names = {
        "accessToken",
        "refreshToken",
        "key",
        "secret",
        "webhookSecret",
        "writeKey",
        "password",
    }

    def shows(schema: Any, seen: frozenset[str] = frozenset()) -> bool:
        if isinstance(schema, list):
            return any(shows(each, seen) for each in schema)
        if not isinstance(schema, dict):
            return False
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            return name not in seen and shows(schemas[name], seen | {name})
        if names & schema.get("properties", {}).keys():
            return True
        return any(shows(each, seen) for each in schema.values())

    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for content in answer.get("content", {}).values()
        if shows(content.get("schema"))
    }


async def test_what_shows_a_secret_is_never_packed(cast: Cast, api: Api) -> None:
    assert secrets_shown(api.app.openapi()) == SECRET_ANSWERS
    key = {"name": "x" * 200, "scopes": ["users:read", "data:read", "data:write", "analytics:read"]}
    made = {
        "/v1/api-keys": key,
        f"/v1/users/{cast.owner.id}/sessions": {},
        "/v1/accounts": {"name": "a"},
    }
    for path, body in made.items():
        answer, sent = await fetch(cast.admin, path, "zstd, identity;q=0", method="POST", json=body)
        assert (answer.status_code, answer.headers.get("content-encoding")) == (201, None)
        assert json.loads(sent)
