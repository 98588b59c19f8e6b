"""A person's whole story over HTTP: sign in, choose a role, more devices, refresh, breach, link,
unlink, log out."""

from bson import ObjectId

from models import AuditEvent, AuthIdentity, Preferences, Profile, RefreshToken, User
from tests.app.auth.conftest import PHONE, World
from tests.outside.sign_in import NONCE


async def test_a_person_signs_in_by_phone_and_lives_with_it(world: World) -> None:
    first = await world.by_phone(deviceInfo="phone")
    assert first.json()["created"] is True
    assert (first.json()["expiresIn"], first.headers["cache-control"]) == (600, "no-store")
    ann = world.person(first)
    me = (await ann.get("/v1/users/me")).json()
    assert (me["id"], me["authMethods"], me["role"], me["nextSteps"]) == (
        ann.id,
        ["phone"],
        None,
        ["chooseRole"],
    )
    assert me["lastLogin"] is not None
    assert await Profile.find_by_user_id(ObjectId(ann.id))
    assert await Preferences.find_by_user_id(ObjectId(ann.id))

    chosen = await ann.put("/v1/users/me/role", json={"role": "creator"})
    assert (chosen.status_code, chosen.json()["role"], chosen.json()["nextSteps"]) == (
        200,
        "creator",
        [],
    )

    await world.may_ask_again()
    second = await world.by_phone(deviceInfo="laptop")
    laptop = world.person(second)
    assert (second.json()["created"], laptop.id) == (False, ann.id)
    listed = (await laptop.get("/v1/auth/sessions")).json()["items"]
    assert [(one["deviceInfo"], one["current"], one["authMethod"]) for one in listed] == [
        ("laptop", True, "phone"),
        ("phone", False, "phone"),
    ]

    old = first.json()["refreshToken"]
    new = (await world.refresh(old)).json()
    assert new["refreshToken"] != old
    assert (await world.api.caller(new["accessToken"]).get("/v1/users/me")).json()["id"] == ann.id
    repeated = (await world.refresh(old)).json()
    assert repeated["refreshToken"] == new["refreshToken"]

    newest = (await world.refresh(new["refreshToken"])).json()
    assert (await world.refresh(old)).status_code == 401
    assert (await world.refresh(newest["refreshToken"])).status_code == 401
    breach = await AuditEvent.raw().find_one({"kind": "refresh_reused"})
    assert breach is not None
    assert (str(breach["userId"]), breach["detail"]["sessionId"]) == (
        ann.id,
        first.json()["sessionId"],
    )
    assert [
        one["deviceInfo"] for one in (await laptop.get("/v1/auth/sessions")).json()["items"]
    ] == ["laptop"]
    assert (await ann.get("/v1/users/me")).status_code == 200
    assert (await ann.get("/v1/auth/sessions")).status_code == 401

    linked = await laptop.post(
        "/v1/users/me/identities",
        json={"provider": "google", "idToken": world.issuer.token("g-1"), "nonce": NONCE},
    )
    assert (linked.status_code, linked.json()["provider"]) == (201, "google")
    assert (await laptop.get("/v1/users/me")).json()["authMethods"] == ["phone", "google"]
    assert world.person(await world.by_token("google", "g-1")).id == ann.id

    phone = (await laptop.get("/v1/users/me/identities")).json()["items"][0]
    assert (phone["provider"], phone["providerId"]) == ("phone", PHONE)
    assert (await laptop.delete(f"/v1/users/me/identities/{phone['id']}")).status_code == 204
    assert (await laptop.get("/v1/users/me")).json()["authMethods"] == ["google"]
    last = await laptop.delete(f"/v1/users/me/identities/{linked.json()['id']}")
    assert (last.status_code, last.json()["code"]) == (409, "last_identity")

    assert (await laptop.delete("/v1/auth/sessions")).status_code == 204
    assert len((await laptop.get("/v1/auth/sessions")).json()["items"]) == 1
    assert (await laptop.post("/v1/auth/logout")).status_code == 204
    assert (await world.refresh(second.json()["refreshToken"])).status_code == 401

    await world.may_ask_again()
    other = world.person(await world.by_phone())
    assert other.id != ann.id


async def test_a_person_signs_in_by_google_and_is_known(world: World) -> None:
    claims = {
        "email": "Ann@Example.com",
        "email_verified": True,
        "hd": "example.com",
        "name": "Ann",
    }
    claims["picture"] = "https://x.test/a.png"
    ann = world.person(await world.by_token("google", "g-1", **claims))
    me = (await ann.get("/v1/users/me/complete")).json()
    assert (me["user"]["email"], me["user"]["name"], me["user"]["authMethods"]) == (
        "ann@example.com",
        "Ann",
        ["google"],
    )
    assert me["user"]["emailVerifiedAt"] is not None
    assert (me["profile"]["displayName"], me["profile"]["avatar"]["url"]) == (
        "Ann",
        "https://x.test/a.png",
    )
    again = await world.by_token("google", "g-1", **{**claims, "email": "new@example.com"})
    assert (again.json()["userId"], again.json()["created"]) == (ann.id, False)
    identity = (await ann.get("/v1/users/me/identities")).json()["items"][0]
    assert (identity["providerId"], identity["email"]) == ("g-1", "new@example.com")
    assert (await ann.get("/v1/users/me")).json()["email"] == "ann@example.com"


async def test_a_person_signs_in_by_facebook_without_an_email_of_theirs(world: World) -> None:
    """Facebook does not say whether an email is verified: it is noted, and identifies nobody."""
    ann = world.person(await world.by_token("facebook", "f-1", email="ann@example.com", name="Ann"))
    me = (await ann.get("/v1/users/me")).json()
    assert (me["email"], me["name"], me["authMethods"]) == (None, "Ann", ["facebook"])
    assert (await ann.get("/v1/users/me/identities")).json()["items"][0][
        "email"
    ] == "ann@example.com"


async def test_everything_of_a_person_goes_with_them(world: World) -> None:
    ann = world.person(await world.by_phone())
    tokens = (await world.by_token("google", "g-1")).json()
    assert (await ann.delete("/v1/users/me")).json()["deleted"]["authidentities"] == 1
    assert await AuthIdentity.raw().count_documents({"userId": ObjectId(ann.id)}) == 0
    assert await RefreshToken.raw().count_documents({"userId": ObjectId(ann.id)}) == 0
    assert await User.raw().count_documents({}) == 1
    assert (await world.refresh(tokens["refreshToken"])).status_code == 200
