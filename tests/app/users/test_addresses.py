"""People are found by their address as it is written, and what is no address is said to be none."""

import pytest
from bson import ObjectId

from models.base import now
from models.user import User
from tests.cast import Cast

TAGGED = "ann+tag@example.com"


async def test_a_person_is_found_by_an_address_with_a_plus(cast: Cast) -> None:
    made = await cast.admin.post("/v1/users", json={"email": TAGGED})
    found = await cast.admin.get("/v1/users", params={"email": " Ann+Tag@EXAMPLE.com"})
    assert [user["id"] for user in found.json()["items"]] == [made.json()["id"]]
    nobody = await cast.admin.get("/v1/users?email=nobody@example.com")
    assert (nobody.status_code, nobody.json()["items"]) == (200, [])


@pytest.mark.parametrize(
    "text", ["", "ann", "not-an-address", "ann@example", "a\u200bnn@example.com", "@", "a@b@c.de"]
)
async def test_what_is_no_address_finds_nobody_and_is_refused(cast: Cast, text: str) -> None:
    refused = await cast.admin.get("/v1/users", params={"email": text})
    found = refused.json()["errors"][0]
    assert (refused.status_code, found["pointer"], found["code"]) == (422, "?email", "malformed")
    assert "%2B" not in found["detail"]


async def test_a_blank_in_an_address_is_said_to_be_a_plus_that_was_not_escaped(cast: Cast) -> None:
    refused = await cast.admin.get(f"/v1/users?email={TAGGED}")
    found = refused.json()["errors"][0]
    assert (refused.status_code, found["pointer"], "%2B" in found["detail"]) == (
        422,
        "?email",
        True,
    )


@pytest.mark.parametrize("letter", ["\u200b", "\u202e", "\u00ad", "\u2060"], ids=ascii)
async def test_nobody_has_an_address_that_looks_like_anothers(cast: Cast, letter: str) -> None:
    lookalike = f"a{letter}b@example.com"
    for path, field in (
        ("/v1/users", "email"),
        ("/v1/auth/otp", "email"),
        ("/v1/users/me/email", "email"),
    ):
        caller = cast.owner if path.endswith("me/email") else cast.admin
        refused = await caller.post(path, json={field: lookalike})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
            422,
            "/email",
        ), path
    patched = await cast.admin.merge(f"/v1/users/{cast.owner.id}", {"email": lookalike})
    assert (patched.status_code, patched.json()["errors"][0]["pointer"]) == (422, "/email")
    assert await User.raw().count_documents({"email": {"$ne": None}}) == 2


async def test_a_stored_address_that_is_none_by_a_later_rule_is_still_shown(cast: Cast) -> None:
    await User.raw().update_one(
        {"email": "owner@example.com"}, {"$set": {"email": "a\u200bb@example.com"}}
    )
    assert (await cast.owner.get("/v1/users/me")).json()["email"] == "a\u200bb@example.com"
    listed = (await cast.admin.get("/v1/users")).json()["items"]
    assert "a\u200bb@example.com" in [user["email"] for user in listed]
    mended = await cast.admin.merge(f"/v1/users/{cast.owner.id}", {"email": "ab@example.com"})
    assert (mended.status_code, mended.json()["email"]) == (200, "ab@example.com")


async def test_another_spelling_of_the_same_address_changes_nothing(cast: Cast) -> None:
    made = (await cast.admin.post("/v1/users", json={"email": "ann@example.com"})).json()
    await User.raw().update_one({"_id": ObjectId(made["id"])}, {"$set": {"emailVerifiedAt": now()}})
    path = f"/v1/users/{made['id']}"
    for spelled in ("Ann@Example.com", "ann@EXAMPLE.com"):
        answer = await cast.admin.merge(path, {"email": spelled})
        assert (answer.status_code, answer.json()["email"]) == (200, "ann@example.com")
        assert answer.json()["emailVerifiedAt"] is not None
        assert answer.json()["version"] == made["version"]
    other = (await cast.admin.merge(path, {"email": "bea@example.com"})).json()
    assert (other["email"], other.get("emailVerifiedAt")) == ("bea@example.com", None)
