"""One-time codes: five tries, once, one minute apart, within budgets, and the same for known and
unknown numbers."""

from typing import Any

import pytest

from models import AuditEvent, Budget, PhoneOtp, User
from models.base import now
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.factories.codes import wrong


async def verify(world: World, challenge: str, code: str) -> Any:
    return await world.nobody.post(
        "/v1/auth/otp/verify", json={"challengeId": challenge, "code": code}
    )


async def test_a_code_is_six_digits_and_stored_as_a_keyed_hash(world: World) -> None:
    challenge = await world.challenge(phoneNumber="+1 (415) 555-0123")
    message = world.mailbox.messages[-1]
    assert (message["to"], message["channel"], message["purpose"], len(message["code"])) == (
        PHONE,
        "phone",
        "sign_in",
        6,
    )
    row = await PhoneOtp.raw().find_one({"_id": challenge})
    assert row is not None
    assert (row["phoneNumber"], row["attempts"], len(row["codeHash"])) == (PHONE, 0, 64)
    assert message["code"] not in str(row["codeHash"])
    lifetime = (row["expiresAt"] - row["sentAt"]).total_seconds()
    assert 299 <= lifetime <= 301


async def test_five_wrong_tries_end_a_challenge_also_for_the_right_code(world: World) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    code = world.mailbox.code(PHONE)
    for _ in range(5):
        refused = await verify(world, challenge, wrong(code))
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    late = await verify(world, challenge, code)
    assert (late.status_code, late.json()["detail"]) == (401, refused.json()["detail"])
    assert await User.raw().count_documents({}) == 0
    assert await AuditEvent.raw().count_documents({"kind": "sign_in_failed"}) == 6
    again = await world.nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})
    assert again.status_code == 429


async def test_another_code_comes_after_a_minute_and_leaves_the_one_before_good(
    world: World,
) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    first = world.mailbox.code(PHONE)
    early = await world.nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})
    assert (early.status_code, early.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(early.headers["retry-after"]) <= 60
    await world.may_ask_again()
    other = await world.challenge(phoneNumber=PHONE)
    assert other != challenge
    if first != world.mailbox.code(PHONE):
        assert (await verify(world, other, first)).status_code == 401
    assert (await verify(world, challenge, first)).status_code == 200
    assert (await verify(world, other, world.mailbox.code(PHONE))).status_code == 200


async def test_a_code_is_good_once(world: World) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    code = world.mailbox.code(PHONE)
    assert (await verify(world, challenge, code)).status_code == 200
    assert (await verify(world, challenge, code)).status_code == 401


async def test_an_expired_code_is_refused_before_ttl_removes_it(world: World) -> None:
    challenge = await world.challenge(phoneNumber=PHONE)
    await PhoneOtp.raw().update_one({"_id": challenge}, {"$set": {"expiresAt": now()}})
    assert (await verify(world, challenge, world.mailbox.code(PHONE))).status_code == 401
    assert await PhoneOtp.raw().count_documents({}) == 1


async def test_a_code_of_another_challenge_or_purpose_is_refused(world: World) -> None:
    mine = await world.challenge(phoneNumber=PHONE)
    other = await world.challenge(phoneNumber="+14155550124")
    code = world.mailbox.code("+14155550124")
    if code != world.mailbox.code(PHONE):
        assert (await verify(world, mine, code)).status_code == 401
    ann = world.person(await verify(world, other, code))
    linking = (
        await ann.post("/v1/users/me/identities/challenges", json={"phoneNumber": "+14155550125"})
    ).json()
    assert (
        await verify(world, linking["challengeId"], world.mailbox.code("+14155550125"))
    ).status_code == 401


async def test_the_answer_does_not_tell_whether_a_number_is_known(world: World) -> None:
    """Nothing is looked up before the code comes back, so time tells nothing either: the same
    commands are sent."""
    world.person(await world.by_phone())
    await world.may_ask_again()
    known = await world.nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})
    unknown = await world.nobody.post("/v1/auth/otp", json={"phoneNumber": "+14155550199"})
    assert known.status_code == unknown.status_code == 202
    assert known.json().keys() == unknown.json().keys()
    drop = ("challengeId",)
    assert {k: v for k, v in known.json().items() if k not in drop} == {
        k: v for k, v in unknown.json().items() if k not in drop
    }
    refused = [
        await verify(world, known.json()["challengeId"], "x" * 6),
        await verify(world, "nothing", "123456"),
    ]
    assert [one.status_code for one in refused] == [422, 401]


@pytest.mark.parametrize(
    ("setting", "bodies"),
    [
        ("otp_per_client_per_hour", [{"phoneNumber": f"+1415555012{n}"} for n in range(3)]),
        ("otp_per_hour", [{"email": f"a{n}@example.com"} for n in range(3)]),
    ],
)
async def test_budgets_end_in_429(
    make_api: MakeApi, outside: dict[str, Any], setting: str, bodies: list[dict[str, str]]
) -> None:
    api = await make_api(**{**outside, setting: 2})
    answers = []
    for body in bodies:
        answers.append(await api.caller(None).post("/v1/auth/otp", json=body))
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert await PhoneOtp.raw().count_documents({}) == 2
    reserved = await Budget.raw().find({"_id": {"$regex": "^tries:"}}).to_list()
    assert sum(row["spent"] for row in reserved) == 2 * 5  # what was refused gave its tries back


async def test_a_sender_that_is_down_is_503_and_the_code_may_be_asked_for_again(
    world: World,
) -> None:
    world.mailbox.down = True
    assert (await world.nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})).status_code == 503
    world.mailbox.down = False
    assert world.person(await world.by_phone()).id


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"phoneNumber": PHONE, "email": "ann@example.com"}, ""),
        ({"phoneNumber": "4155550123"}, "/phoneNumber"),
        ({"phoneNumber": "+1"}, "/phoneNumber"),
        ({"phoneNumber": "+999999999999"}, "/phoneNumber"),
        ({"phoneNumber": 14155550123}, "/phoneNumber"),
        ({"email": "ann"}, "/email"),
        ({"email": {"$ne": ""}}, "/email"),
        ({"phoneNumber": PHONE, "x": 1}, "/x"),
    ],
    ids=repr,
)
async def test_other_recipients_are_refused_by_field(world: World, body: Any, pointer: str) -> None:
    refused = await world.nobody.post("/v1/auth/otp", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await PhoneOtp.raw().count_documents({}), world.mailbox.messages) == (0, [])


async def test_failed_sign_ins_of_one_address_end_in_429(
    make_api: MakeApi, outside: dict[str, Any]
) -> None:
    api = await make_api(**{**outside, "sign_in_failures_per_client_per_hour": 3})
    body = {"challengeId": "nothing", "code": "123456"}
    statuses = [
        (await api.caller(None).post("/v1/auth/otp/verify", json=body)).status_code
        for _ in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]
    assert await AuditEvent.raw().count_documents({}) == 3


async def test_signing_in_by_email_is_signing_in_by_code(world: World) -> None:
    ann = world.person(await world.by_email("Ann@Example.com".lower()))
    me = (await ann.get("/v1/users/me")).json()
    assert (me["email"], me["authMethods"]) == ("ann@example.com", ["email"])
    assert me["emailVerifiedAt"] is not None
