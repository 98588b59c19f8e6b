"""Large deliveries that are not kept are checked all the same; what is under way takes room."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.outside.signatures import Signing, signature
from app.repositories.deliveries.reading import Claim, read, room_needed
from app.web.body import MAX_BODY_BYTES, MAX_DELIVERY_BYTES
from tests.app.repositories.conftest import PATHS, Forge


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part


async def test_what_is_not_kept_is_hashed_and_signed_all_the_same() -> None:
    body = [b"a" * 700_000] * 3
    for keep in (True, False):
        signing = Signing(["one", "two", ""])
        claim = Claim(2_100_000, "one", None, is_verified=True, is_strange=False, has_room=keep)
        delivery = await read(parts(*body), signing, claim)
        assert (delivery.size, delivery.is_large, delivery.parts) == (
            2_100_000,
            True,
            body if keep else None,
        )
        assert signing.gave(signature("two", b"".join(body)))
        assert not signing.gave(signature("", b"".join(body)))
        assert not signing.gave("é")


@pytest.mark.parametrize(
    ("announced", "needed"),
    [
        ("0", 0),
        (str(MAX_BODY_BYTES), 0),
        ("1048577", 1048577),
        ("99999999", MAX_DELIVERY_BYTES),
        (None, MAX_DELIVERY_BYTES),
        ("x", MAX_DELIVERY_BYTES),
    ],
)
def test_room_is_needed_by_what_is_announced(announced: str | None, needed: int) -> None:
    assert room_needed(announced) == needed


async def test_gitlabs_event_uuid_is_shared_by_events_and_names_none_of_them(forge: Forge) -> None:
    await forge.connect("GitLab")
    host = forge.hosts["GitLab"]
    repo = host.repos[PATHS["GitLab"]]

    async def send(number: int, **ids: str) -> Any:
        path, body, headers = host.delivery(repo, host.payload(repo, number=number))
        del headers["Idempotency-Key"]
        return (await forge.cast.nobody.post(path, content=body, headers=headers | ids)).json()[
            "duplicate"
        ]

    old = {"X-Gitlab-Event-UUID": "one"}  # of a GitLab before 17.4
    assert [await send(1, **old), await send(2, **old)] == [False, False]
    assert await send(1, **{"X-Gitlab-Event-UUID": "another"}) is True
    new = old | {"Idempotency-Key": "one"}
    assert [await send(3, **new), await send(3, **new), await send(4, **new)] == [False, True, True]
    path, body, headers = host.delivery(repo, host.payload(repo), **{"Idempotency-Key": ""})
    refused = await forge.cast.nobody.post(path, content=body, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "header:idempotency-key",
    )


@pytest.mark.parametrize(
    ("kind", "header"), [("GitHub", "X-GitHub-Hook-ID"), ("Bitbucket", "X-Hook-UUID")]
)
async def test_the_id_of_the_webhook_and_of_an_attempt_name_no_event(
    forge: Forge, kind: str, header: str
) -> None:
    await forge.connect(kind)
    host, repo = forge.hosts[kind], forge.hosts[kind].repos[PATHS[kind]]
    same = {header: "one", "X-Attempt-Number": "1"}
    answers = [
        await forge.deliver(kind, host.payload(repo, number=number), **same) for number in range(2)
    ]
    assert [answer.json()["duplicate"] for answer in answers] == [False, False]
    ids = {"GitHub": "X-GitHub-Delivery", "Bitbucket": "X-Request-UUID"}
    again = {ids[kind]: "two", "X-Attempt-Number": "2"}
    retried = [await forge.deliver(kind, host.payload(repo, number=7), **again) for _ in range(2)]
    assert [answer.json()["duplicate"] for answer in retried] == [False, True]
