"""Sign-in under races: one successor, one session, one user, and never more devices than
allowed."""

import asyncio

from bson import ObjectId

from models import AuthIdentity, PhoneOtp, RefreshToken, User
from models.budget import Budget
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.outside.sign_in import NONCE


async def test_fifty_racing_refreshes_of_one_token_have_one_successor(world: World) -> None:
    begun = (await world.by_phone()).json()
    answers = await asyncio.gather(*(world.refresh(begun["refreshToken"]) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refreshToken"] for answer in answers}
    assert len(successors) == 1
    stored = await RefreshToken.raw().find_one({"_id": ObjectId(begun["sessionId"])})
    assert stored is not None and stored["generation"] == 2
    assert (await world.refresh(successors.pop())).status_code == 200


async def test_fifty_racing_verifies_of_one_code_begin_one_session(world: World) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    body = {"challengeId": challenge, "code": world.mailbox.code(PHONE)}
    path = "/v1/auth/otp/verify"
    answers = await asyncio.gather(*(world.nobody.post(path, json=body) for _ in range(50)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(401)) == (1, 49)
    assert await RefreshToken.raw().count_documents({}) == 1
    assert await User.raw().count_documents({}) == 1
    assert await PhoneOtp.raw().count_documents({}) == 0


async def test_fifty_racing_wrong_tries_are_five(world: World) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    code = int(world.mailbox.code(PHONE))
    guesses = [f"{(code + 1 + number) % 10**6:06}" for number in range(50)]
    path = "/v1/auth/otp/verify"
    await asyncio.gather(
        *(
            world.nobody.post(path, json={"challengeId": challenge, "code": guess})
            for guess in guesses
        )
    )
    row = await PhoneOtp.raw().find_one({"_id": challenge})
    assert row is not None and row["attempts"] == 5


async def test_fifty_racing_requests_send_one_code(world: World) -> None:
    body = {"phoneNumber": PHONE}
    answers = await asyncio.gather(
        *(world.nobody.post("/v1/auth/otp", json=body) for _ in range(50))
    )
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(429)) == (1, 49)
    assert len(world.mailbox.messages) == 1
    budgets = (
        await Budget.raw()
        .find({"_id": {"$regex": "^(recipient|service|tries):"}})
        .sort("_id", 1)
        .to_list()
    )
    assert [row["spent"] for row in budgets] == [
        1,
        1,
        5,
    ]  # those who lost cost the recipient nothing


async def test_fifty_racing_first_sign_ins_make_one_user(world: World) -> None:
    claims = {"email": "ann@example.com", "email_verified": True, "hd": "example.com"}
    bodies = [{"idToken": world.issuer.token("g-1", **claims), "nonce": NONCE} for _ in range(50)]
    path = "/v1/auth/oidc/google"
    answers = await asyncio.gather(*(world.nobody.post(path, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["userId"] for answer in answers}) == 1
    assert [answer.json()["created"] for answer in answers].count(True) == 1
    assert (await User.raw().count_documents({}), await AuthIdentity.raw().count_documents({})) == (
        1,
        1,
    )
    assert await RefreshToken.raw().count_documents({}) == 5


async def test_first_sign_ins_in_two_ways_with_one_verified_email_make_one_user(
    world: World,
) -> None:
    challenge = await world.challenge(email="ann@example.com")
    code = world.mailbox.code("ann@example.com")
    google = world.by_token(
        "google", "g-1", email="ann@example.com", email_verified=True, hd="example.com"
    )
    email = world.nobody.post("/v1/auth/otp/verify", json={"challengeId": challenge, "code": code})
    answers = await asyncio.gather(google, email)
    assert [answer.status_code for answer in answers] == [200, 200]
    row = await User.raw().find_one({})
    assert row is not None
    assert (await User.raw().count_documents({}), sorted(row["authMethods"])) == (
        1,
        ["email", "google"],
    )


async def test_racing_sign_ins_keep_to_the_device_limit_and_end_the_oldest(
    make_api: MakeApi, world: World
) -> None:
    first = (await world.by_token("google", "g-1")).json()
    await asyncio.gather(*(world.by_token("google", "g-1") for _ in range(30)))
    assert await RefreshToken.raw().count_documents({}) == world.api.settings.session_limit == 5
    assert (await world.refresh(first["refreshToken"])).status_code == 401


async def test_racing_unlinks_leave_one_identity(world: World) -> None:
    ann = world.person(await world.by_token("google", "g-1"))
    body = {"provider": "facebook", "idToken": world.issuer.token("f-1"), "nonce": NONCE}
    await ann.post("/v1/users/me/identities", json=body)
    ids = [one["id"] for one in (await ann.get("/v1/users/me/identities")).json()["items"]]
    answers = await asyncio.gather(*(ann.delete(f"/v1/users/me/identities/{each}") for each in ids))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    left = await AuthIdentity.raw().find({}).to_list()
    row = await User.raw().find_one({})
    assert row is not None
    assert row["authMethods"] == [left[0]["provider"]]


async def test_an_identity_linked_by_two_users_at_once_is_ones(world: World) -> None:
    people = [world.person(await world.by_token("google", f"g-{number}")) for number in range(2)]
    bodies = [
        {"provider": "facebook", "idToken": world.issuer.token("f-1"), "nonce": NONCE}
        for _ in people
    ]
    answers = await asyncio.gather(
        *(
            one.post("/v1/users/me/identities", json=body)
            for one, body in zip(people, bodies, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert await AuthIdentity.raw().count_documents({"provider": "facebook"}) == 1
    methods = sorted([row["authMethods"] async for row in User.raw().find({})])
    assert methods == [["google"], ["google", "facebook"]]
