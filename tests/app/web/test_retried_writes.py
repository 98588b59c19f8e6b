"""Every route that writes honours Idempotency-Key, or leaves the same behind however often it is
asked."""

import asyncio
from typing import Any

import pytest

from models.app import App
from models.audit_event import AuditEvent
from models.idempotency import IdempotencyKey
from tests.cast import Cast, programme_of
from tests.factories.operations import WRITE_KEYS, operations
from tests.harness import Api, Caller, version_of

BY_ID = "what is deleted has an id that never comes back, and a second deletion is 404"
OF_A_CODE = "a code or an ID token is taken once; the answer to a repeat holds no second session"
SENDS_A_CODE = "another code of the same challenge at most, within the recipient's budget"
BY_MESSAGE = "an event has a messageId for this"
REPEATABLE: dict[str, str] = {
    "DELETE /v1/users/{userId}": BY_ID,
    "DELETE /v1/api-keys/{keyId}": BY_ID,
    "DELETE /v1/accounts/{accountId}": BY_ID,
    "DELETE /v1/accounts/{accountId}/spending-profiles/{profileId}": BY_ID,
    "DELETE /v1/connections/{connectionId}": BY_ID,
    "DELETE /v1/projects/{projectId}": BY_ID,
    "DELETE /v1/users/me/identities/{identityId}": BY_ID,
    "DELETE /v1/auth/sessions/{sessionId}": BY_ID,
    "DELETE /v1/auth/sessions": "what is ended stays ended",
    "DELETE /v1/projects/{projectId}/repository": (
        "If-Match names the connection that is meant; without one: 404"
    ),
    "PUT /v1/apps/{appId}/external-ids/{externalId}": (
        "a link never changes: 200 where it is there, 409 for another"
    ),
    "POST /v1/auth/otp": SENDS_A_CODE,
    "POST /v1/users/me/email": SENDS_A_CODE,
    "POST /v1/users/me/identities/challenges": SENDS_A_CODE,
    "POST /v1/auth/otp/verify": OF_A_CODE,
    "POST /v1/auth/oidc/{provider}": OF_A_CODE,
    "POST /v1/auth/refresh": "the same successor again, until it is used",
    "POST /v1/auth/logout": "what is ended stays ended",
    "POST /v1/connections/{connectionId}/sync": (
        "a sync ends with what the bank has, and never runs twice at once"
    ),
    "POST /v1/connections/{connectionId}/decisions": (
        "what is decided stays decided, and a repeat answers the same"
    ),
    "POST /v1/projects/{projectId}/repository/events/{eventId}/redeliver": (
        "an event has one outcome"
    ),
    "POST /v1/webhooks/teller": "a hint that a sync is due",
    "POST /v1/webhooks/{service}/{connectionId}": "a delivery has an id, and is taken once",
    "POST /v1/analytics/events": BY_MESSAGE,
    **{
        f"POST /v1/analytics/joins/{each}": "no decision is open again once it is made"
        for each in ("accept", "refuse", "undo")
    },
    **dict.fromkeys(WRITE_KEYS, BY_MESSAGE),
    "POST /v1/auth/guests": "another guest, who has nothing and is deleted in time",
    "POST /v1/users/me/guests": "a guest who was merged is gone: a repeat is 422",
    "POST /v1/users/{userId}/merge": "who was merged is gone: a repeat is 410 and says into whom",
    "POST /v1/users/import": "a line that comes again changes nothing",
    "PUT /v1/users/by/{field}/{value}": "what is told already is not written again",
    "POST /v1/apps/{appId}/schemas/check": "a dry run, which writes nothing",
    "POST /v1/m": "what a library tells of itself is let go of",
}
"""Routes that need no key, and why: docs/api.md says so in words."""
WRITES = {name for name in operations() if not name.startswith("GET ")}


def honours_keys(name: str) -> bool:
    return any(
        each["name"] == "Idempotency-Key" for each in operations()[name].get("parameters", [])
    )


def test_every_write_honours_keys_or_is_repeatable() -> None:
    honouring = {name for name in WRITES if honours_keys(name)}
    assert WRITES - honouring - REPEATABLE.keys() == set(), (
        "take IdempotencyClaim, or say here why a repeat is harmless"
    )
    assert honouring & REPEATABLE.keys() == set()
    assert REPEATABLE.keys() - WRITES == set()
    assert [name for name in WRITES if name.startswith("PATCH ") and name not in honouring] == []


async def twice(caller: Caller, method: str, path: str, body: Any) -> tuple[Any, Any]:
    answers = [
        await caller.request(method, path, json=body, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    first, repeat = answers
    assert first.is_success, first.text
    return first, repeat


PUTS: list[tuple[str, Any, Any]] = [
    ("/v1/users/me/profile", {"bio": "mine"}, {"bio": "later"}),
    ("/v1/users/me/preferences", {"theme": "dark"}, {"theme": "light"}),
    ("/v1/users/me/role", {"role": "creator"}, {"role": "brand"}),
    ("/v1/apps/notes", {"requireVersion": True}, {"requireVersion": False}),
]


@pytest.mark.parametrize(("path", "body", "later"), PUTS, ids=[path for path, _, _ in PUTS])
async def test_a_put_that_comes_again_late_overwrites_nothing(
    cast: Cast, path: str, body: Any, later: Any
) -> None:
    caller = cast.admin if "/apps/" in path else cast.owner
    first, repeat = await twice(caller, "PUT", path, body)
    assert (repeat.status_code, repeat.json()) == (first.status_code, first.json())
    assert repeat.headers["etag"] == first.headers["etag"]
    assert (await caller.put(path, json=later)).status_code == 200
    late = await caller.put(path, json=body, headers={"Idempotency-Key": "k"})
    assert late.status_code == first.status_code
    assert late.json() | later == late.json()
    reused = await caller.put(path, json=later, headers={"Idempotency-Key": "k"})
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
    assert await IdempotencyKey.raw().count_documents({"status": first.status_code}) == 1


async def test_a_role_that_is_chosen_twice_is_noted_once(cast: Cast) -> None:
    await twice(cast.owner, "PUT", "/v1/users/me/role", {"role": "creator"})
    assert await AuditEvent.raw().count_documents({"kind": "role_chosen"}) == 1


@pytest.mark.parametrize(
    ("path", "body"), [(path, body) for path, body, _ in PUTS], ids=[path for path, _, _ in PUTS]
)
async def test_racing_repeats_of_a_put_are_one(cast: Cast, path: str, body: Any) -> None:
    caller = cast.admin if "/apps/" in path else cast.owner
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(caller.put(path, json=body, headers=key) for _ in range(5)))
    done = [answer for answer in answers if answer.is_success]
    assert {answer.json()["code"] for answer in answers if not answer.is_success} <= {"in_flight"}
    assert (
        len({answer.status_code for answer in done})
        == len({answer.headers["etag"] for answer in done})
        == 1
    )
    assert await IdempotencyKey.raw().count_documents({}) == 1


async def test_a_put_whose_user_was_deleted_says_so(cast: Cast) -> None:
    path, key = f"/v1/users/{cast.owner.id}/profile", {"Idempotency-Key": "k"}
    assert (await cast.admin.put(path, json={"bio": "b"}, headers=key)).status_code == 200
    await cast.admin.delete(f"/v1/users/{cast.owner.id}")
    gone = await cast.admin.put(path, json={"bio": "b"}, headers=key)
    assert (gone.status_code, gone.json()["code"]) == (404, "result_gone")


async def test_a_put_that_failed_leaves_no_claim_and_one_with_a_precondition_repeats(
    cast: Cast,
) -> None:
    path, key = "/v1/users/me/profile", {"Idempotency-Key": "k"}
    before = await cast.owner.get(path)
    stale = await cast.owner.put(path, json={"bio": "b"}, headers={**key, "If-Match": '"9"'})
    assert stale.status_code == 412
    assert await IdempotencyKey.raw().count_documents({}) == 0
    guarded = {**key, "If-Match": before.headers["etag"]}
    first, repeat = [
        await cast.owner.put(path, json={"bio": "b"}, headers=guarded) for _ in range(2)
    ]
    assert (first.status_code, repeat.status_code, repeat.json()) == (200, 200, first.json())
    made = [
        await cast.admin.put("/v1/apps/x", json={}, headers={**key, "If-None-Match": "*"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in made] == [201, 201]
    assert await App.raw().count_documents({"version": 1}) == 1


async def test_a_member_is_added_once(cast: Cast) -> None:
    project = (await cast.owner.post("/v1/projects", json={"name": "Notes"})).json()["id"]
    path = f"/v1/projects/{project}/members/{cast.stranger.id}"
    first, repeat = await twice(cast.admin, "PUT", path, {"role": "member"})
    assert (first.status_code, repeat.status_code, repeat.json()) == (201, 201, first.json())
    await cast.owner.put(path, json={"role": "admin"})
    late = await cast.admin.put(path, json={"role": "member"}, headers={"Idempotency-Key": "k"})
    assert (late.status_code, late.json()["role"]) == (201, "admin")
    taken_out = [await cast.owner.delete(path, headers={"Idempotency-Key": "d"}) for _ in range(2)]
    assert [answer.status_code for answer in taken_out] == [204, 204]
    await cast.admin.put(path, json={"role": "member"})
    assert (await cast.owner.delete(path, headers={"Idempotency-Key": "d"})).status_code == 204
    assert (await cast.owner.get(path)).json()["role"] == "member"
    await cast.owner.delete(path)
    gone = await cast.admin.put(path, json={"role": "member"}, headers={"Idempotency-Key": "k"})
    assert (gone.status_code, gone.json()["code"]) == (404, "result_gone")


async def test_a_secret_is_changed_once_and_shown_once(cast: Cast, api: Api) -> None:
    programme = await programme_of(api, cast.admin)
    key = (
        await cast.admin.post("/v1/api-keys", json={"name": "k", "scopes": ["data:read"]})
    ).json()
    for path, made in (
        (f"/v1/api-keys/{key['id']}/rotate", key["id"]),
        (f"{programme.path}/webhook-secret", programme.account),
    ):
        first = await cast.admin.post(path, headers={"Idempotency-Key": path[-9:]})
        assert first.is_success
        repeat = await cast.admin.post(path, headers={"Idempotency-Key": path[-9:]})
        assert (repeat.status_code, repeat.json()["code"], repeat.json()["id"]) == (
            409,
            "already_done",
            made,
        )
    assert await AuditEvent.raw().count_documents({"kind": "key_rotated"}) == 1
    assert version_of(await cast.admin.get(programme.path)) == 2


async def test_a_patch_of_a_connection_that_comes_again_late_changes_nothing(cast: Cast) -> None:
    body = {
        "provider": "sandbox",
        "institution": "Bank",
        "label": "Own",
        "accessToken": "sandbox_any",
    }
    made = (await cast.owner.post("/v1/users/me/connections", json=body)).json()
    path, key = f"/v1/connections/{made['id']}", {"Idempotency-Key": "k"}
    first, repeat = [await cast.owner.merge(path, {"label": "Work"}, headers=key) for _ in range(2)]
    assert (first.status_code, repeat.status_code) == (200, 200)
    assert (repeat.json(), repeat.headers["etag"]) == (first.json(), first.headers["etag"])
    await cast.owner.merge(path, {"label": "Home"})
    assert (await cast.owner.merge(path, {"label": "Work"}, headers=key)).json()["label"] == "Home"
    idle = {"Idempotency-Key": "idle"}
    await cast.owner.merge(path, {"label": "Home"}, headers=idle)
    await cast.owner.merge(path, {"label": "Work"})
    assert (await cast.owner.merge(path, {"label": "Home"}, headers=idle)).json()["label"] == "Work"
    reused = await cast.owner.merge(path, {"label": "x"}, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
