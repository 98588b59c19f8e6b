"""A packed body is 415 where nothing unpacks it, and not malformed JSON (RFC 9110, section
15.5.16)."""

import gzip
import re

import pytest

from tests.cast import Cast
from tests.factories.operations import LIBRARIES, WRITE_KEYS, operations

WRITES = [name for name in operations() if name.split(" ")[0] in ("POST", "PUT", "PATCH")]
K = "/v1/users/me/apps/notes/data/k"


@pytest.mark.parametrize("name", [name for name in WRITES if name not in WRITE_KEYS | LIBRARIES])
async def test_a_packed_body_is_refused_by_its_encoding(cast: Cast, name: str) -> None:
    method, path = name.split(" ")
    path = re.sub(r"\{\w+\}", "f" * 24, path)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    caller = cast.owner if "/users/me/" in path else cast.admin
    for encoding in ("gzip", "br", "identity, gzip", "x-unknown"):
        headers = {"Content-Encoding": encoding, "Content-Type": kind}
        refused = await caller.request(method, path, content=gzip.compress(b"{}"), headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (
            415,
            "unsupported_media_type",
        ), encoding
        assert refused.headers["accept-encoding"] == "identity"
    assert "415" in operations()[name]["responses"]


@pytest.mark.parametrize("encoding", ["identity", "", "Identity"])
async def test_a_body_that_is_not_packed_may_say_so(cast: Cast, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    assert (await cast.owner.put(K, json={"a": 1}, headers=headers)).status_code == 201
    assert (await cast.owner.merge(K, {"a": 2}, headers=headers)).status_code == 200
    assert (
        await cast.owner.merge("/v1/users/me", {"name": "Ann"}, headers=headers)
    ).status_code == 200
    assert (await cast.owner.get(K, headers={"Content-Encoding": "gzip"})).json() == {"a": 2}
    assert (await cast.owner.delete(K, headers={"Content-Encoding": "gzip"})).status_code == 204


async def test_who_sends_no_credentials_is_told_that_first(cast: Cast) -> None:
    headers = {"Content-Encoding": "gzip"}
    for method, path in (("PUT", K), ("POST", "/v1/users"), ("POST", "/v1/analytics/events")):
        assert (
            await cast.nobody.request(method, path, content=b"x", headers=headers)
        ).status_code == 401


async def test_what_a_packed_body_held_is_not_stored(cast: Cast) -> None:
    packed = gzip.compress(b'{"a":1}')
    refused = await cast.owner.put(K, content=packed, headers={"Content-Encoding": "gzip"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert (await cast.owner.get(K)).status_code == 404
