"""Whatever strangers do with somebody's phone or mailbox: the person gets in, and the stranger does
not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from app.auth.codes.requesters import DEVICE_DAYS, DeviceTokens
from models import PhoneOtp, User
from models.base import now
from models.budget import Budget
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.harness import Caller

ANN = "ann@example.com"
RECIPIENTS = pytest.mark.parametrize(
    "recipient", [{"phoneNumber": PHONE}, {"email": ANN}], ids=["phone", "email"]
)
Recipient = dict[str, str]


async def ask(caller: Caller, recipient: Recipient, **more: str) -> dict[str, Any]:
    answer = await caller.post("/v1/auth/otp", json={**recipient, **more})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def verify(caller: Caller, challenge: dict[str, Any], code: str) -> httpx2.Response:
    body = {"challengeId": challenge["challengeId"], "code": code}
    return await caller.post("/v1/auth/otp/verify", json=body)


def other(code: str, by: int = 1) -> str:
    """Another code of as many digits."""
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}}"


def newest(world: World, recipient: Recipient, digits: int = 6) -> str:
    """The code in the newest message of so many digits."""
    (to,) = recipient.values()
    codes = [str(message["code"]) for message in world.mailbox.messages if message["to"] == to]
    return [code for code in codes if len(code) == digits][-1]


async def crowd(world: World, recipient: Recipient, count: int) -> list[dict[str, Any]]:
    """So many strangers ask for a code, each at an address of their own."""
    return [
        await ask(world.at(f"10.0.{number // 200}.{number % 200}"), recipient)
        for number in range(count)
    ]


@RECIPIENTS
@pytest.mark.parametrize(
    "address", ["10.9.9.9", "127.0.0.1"], ids=["elsewhere", "behind-the-same-address"]
)
async def test_wrong_tries_of_a_stranger_leave_the_person_theirs(
    world: World, recipient: Recipient, address: str
) -> None:
    mine = await ask(world.nobody, recipient)
    code = newest(world, recipient)
    await world.may_ask_again()
    stranger = world.at(address)
    theirs = await ask(stranger, recipient)
    assert theirs["challengeId"] != mine["challengeId"]
    for by in range(1, 7):
        assert (
            await verify(stranger, theirs, other(newest(world, recipient), by))
        ).status_code == 401
    signed_in = await verify(world.nobody, mine, code)
    assert signed_in.status_code == 200, signed_in.text


@RECIPIENTS
async def test_a_crowd_of_strangers_keeps_nobody_from_a_code_and_messages_stay_bounded(
    world: World, recipient: Recipient
) -> None:
    asked = await crowd(world, recipient, 40)
    assert [one["messageSent"] for one in asked].count(True) == len(world.mailbox.messages)
    assert (
        len(world.mailbox.messages) <= 10 + 1 + 1
    )  # at once, one for the hour, one for the step to eight digits
    mine = await ask(world.at("10.7.7.7"), recipient)
    signed_in = await verify(world.at("10.7.7.7"), mine, newest(world, recipient, mine["digits"]))
    assert signed_in.status_code == 200, signed_in.text


async def test_racing_strangers_of_many_addresses_send_a_bounded_number_of_messages(
    world: World,
) -> None:
    asked = await asyncio.gather(
        *(ask(world.at(f"10.1.0.{number}"), {"email": ANN}) for number in range(60))
    )
    assert len({one["challengeId"] for one in asked}) == 60
    assert len(world.mailbox.messages) <= 10 + 2
    reserved = {
        row["_id"].split(":")[2]: row["spent"]
        async for row in Budget.raw().find({"_id": {"$regex": "^tries:"}})
    }
    assert reserved == {"6": 50, "8": 250}


async def test_codes_get_longer_as_tries_pile_up_and_what_is_under_way_stays_good(
    world: World,
) -> None:
    mine = await ask(world.nobody, {"email": ANN})
    code = newest(world, {"email": ANN})
    asked = await crowd(world, {"email": ANN}, 12)
    assert (mine["digits"], [one["digits"] for one in asked]) == (6, [6] * 9 + [8] * 3)
    for stranger in asked:
        for by in range(1, 6):
            await verify(world.nobody, stranger, other(code, by))
    assert len(newest(world, {"email": ANN}, 8)) == 8
    assert (await verify(world.nobody, mine, code)).status_code == 200


async def test_what_a_right_code_did_not_need_is_given_back(world: World) -> None:
    for wrong in (0, 2):
        mine = await ask(world.nobody, {"email": ANN})
        code = newest(world, {"email": ANN})
        for by in range(wrong):
            await verify(world.nobody, mine, other(code, by + 1))
        assert (
            await verify(world.nobody, mine, code)
        ).status_code == 200  # and at once another may be asked for
    spent = [row["spent"] async for row in Budget.raw().find({"_id": {"$regex": "^tries:"}})]
    assert spent == [2]


async def test_who_is_signed_in_is_so_where_nothing_can_be_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(name: str, count: int) -> None:
        raise AutoReconnect("the primary stepped down")

    mine = await ask(world.nobody, {"email": ANN})
    monkeypatch.setattr(Budget, "give_back", fails)
    assert (await verify(world.nobody, mine, newest(world, {"email": ANN}))).status_code == 200


async def test_beyond_every_step_codes_have_sixteen_digits(world: World) -> None:
    await ask(world.nobody, {"email": ANN})
    (row,) = await Budget.raw().find({"_id": {"$regex": "^tries:"}}).to_list()
    _, hashed, digits, day = row["_id"].split(":")
    full = [(6, 50), (8, 500), (10, 50_000), (12, 5_000_000)]
    for length, spent in full:
        name = f"tries:{hashed}:{length}:{day}"
        fields = {"$set": {"spent": spent, "expiresAt": row["expiresAt"]}}
        await Budget.raw().update_one({"_id": name}, fields, upsert=True)
    mine = await ask(world.at("10.7.7.7"), {"email": ANN})
    code = newest(world, {"email": ANN}, 16)
    assert (digits, mine["digits"]) == ("6", 16)
    assert (await verify(world.nobody, mine, code)).status_code == 200
    assert [
        r["spent"] async for r in Budget.raw().find({"_id": {"$regex": "^tries:"}}).sort("spent", 1)
    ] == [spent for _, spent in full]


async def test_a_code_that_requests_share_is_good_once_and_another_follows_at_once(
    make_api: MakeApi, world: World
) -> None:
    world.api = await make_api(**{**world.settings, "otp_per_recipient_per_day": 1})
    await ask(world.nobody, {"email": ANN})
    first, second, third = await crowd(world, {"email": ANN}, 3)
    assert [one["messageSent"] for one in (first, second, third)] == [True, False, False]
    code = newest(world, {"email": ANN})
    answers = await asyncio.gather(*(verify(world.nobody, one, code) for one in (second, third)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    assert (await verify(world.nobody, first, code)).status_code == 401
    again = await ask(world.at("10.7.7.7"), {"email": ANN})
    assert (again["messageSent"], len(world.mailbox.messages)) == (True, 3)
    assert (await verify(world.nobody, again, newest(world, {"email": ANN}))).status_code == 200
    assert await User.raw().count_documents({}) == 1


async def test_a_shared_code_that_the_sender_did_not_take_is_sent_for_the_next_request(
    make_api: MakeApi, world: World
) -> None:
    world.api = await make_api(**{**world.settings, "otp_per_recipient_per_day": 1})
    await ask(world.nobody, {"email": ANN})
    world.mailbox.down = True
    refused = await world.at("10.7.7.7").post("/v1/auth/otp", json={"email": ANN})
    assert refused.status_code == 503
    assert await PhoneOtp.raw().count_documents({}) == 1
    world.mailbox.down = False
    mine = await ask(world.at("10.7.7.7"), {"email": ANN})
    assert mine["messageSent"] is True
    assert (await verify(world.nobody, mine, newest(world, {"email": ANN}))).status_code == 200


Confirm = Callable[[Caller, dict[str, Any]], Awaitable[httpx2.Response]]


async def put_email(caller: Caller, answer: dict[str, Any]) -> httpx2.Response:
    return await caller.put("/v1/users/me/email", json=answer)


async def link_phone(caller: Caller, answer: dict[str, Any]) -> httpx2.Response:
    return await caller.post("/v1/users/me/identities", json={"provider": "phone", **answer})


@pytest.mark.parametrize(
    ("path", "recipient", "confirm"),
    [
        ("/v1/users/me/email", {"email": "new@example.com"}, put_email),
        ("/v1/users/me/identities/challenges", {"phoneNumber": "+14155550177"}, link_phone),
    ],
    ids=["confirm-email", "link-phone"],
)
async def test_strangers_keep_nobody_from_confirming_an_address(
    world: World, path: str, recipient: Recipient, confirm: Confirm
) -> None:
    ann = world.person(await world.by_token("google", "g-ann"))
    strangers = [
        world.person(await world.by_token("google", f"g-{number}")) for number in range(14)
    ]
    world.mailbox.messages.clear()
    mine = (await ann.post(path, json=recipient)).json()
    code = newest(world, recipient)
    for stranger in strangers:
        theirs = (await stranger.post(path, json=recipient)).json()
        wrong = {"challengeId": theirs["challengeId"], "code": "0" * theirs["digits"]}
        assert (await confirm(stranger, wrong)).status_code in (422, 200)
    assert len(world.mailbox.messages) <= 10 + 2
    await crowd(world, recipient, 20)
    done = await confirm(ann, {"challengeId": mine["challengeId"], "code": code})
    assert done.is_success, done.text


@RECIPIENTS
async def test_a_device_that_has_signed_in_before_has_a_budget_of_its_own(
    make_api: MakeApi, world: World, recipient: Recipient
) -> None:
    """One address for all, whose hour is used up, and a service whose hour is too."""
    limits = {"otp_per_client_per_hour": 4, "otp_per_hour": 4}
    world.api = await make_api(**{**world.settings, **limits})
    mine = await ask(world.nobody, recipient)
    begun = (await verify(world.nobody, mine, newest(world, recipient))).json()
    for _ in range(3):
        await world.may_ask_again()
        await ask(world.nobody, recipient)
    for caller in (world.nobody, world.at("10.7.7.7")):
        assert (await caller.post("/v1/auth/otp", json=recipient)).status_code == 429
    known = await ask(world.nobody, recipient, deviceToken=begun["deviceToken"])
    assert (known["digits"], known["messageSent"]) == (6, True)
    assert (await verify(world.nobody, known, newest(world, recipient))).status_code == 200


async def test_a_known_device_keeps_six_digits_whatever_strangers_do(world: World) -> None:
    begun = (await world.by_email(ANN)).json()
    await crowd(world, {"email": ANN}, 15)
    refreshed = (await world.refresh(begun["refreshToken"])).json()
    assert (await ask(world.at("10.7.7.7"), {"email": ANN}))["digits"] == 8
    known = await ask(world.nobody, {"email": ANN}, deviceToken=refreshed["deviceToken"])
    assert (known["digits"], known["messageSent"]) == (6, True)
    early = await world.nobody.post(
        "/v1/auth/otp", json={"email": ANN, "deviceToken": begun["deviceToken"]}
    )
    assert early.status_code == 429  # it is one device, by either token


async def test_known_devices_have_tries_that_end_in_longer_codes_too(world: World) -> None:
    token = (await world.by_email(ANN)).json()["deviceToken"]
    digits = []
    for _ in range(6):
        digits.append((await ask(world.nobody, {"email": ANN}, deviceToken=token))["digits"])
        await world.may_ask_again()
    assert digits == [6] * 5 + [8]


async def test_the_device_of_one_person_is_a_stranger_to_another(world: World) -> None:
    """Nor is a token good that is forged, cut, over, or of somebody who is gone: they are told
    nothing."""
    ann = await world.by_email(ANN)
    bob = (await world.by_email("bob@example.com")).json()
    own = ann.json()["deviceToken"]
    key = world.api.app.state.sign_in.devices
    forged = DeviceTokens(b"another key of thirty-two bytes.").issue(
        ObjectId(ann.json()["userId"]), ObjectId()
    )
    over = key._spell(
        ObjectId(ann.json()["userId"]).binary
        + ObjectId().binary
        + int(now().timestamp() - 1).to_bytes(4, "big")
    )
    await world.may_ask_again()
    for number, text in enumerate(
        [bob["deviceToken"], forged, over, own[:-1], own + "A", "dt_", "dt_é", "x" * 256]
    ):
        await ask(world.at(f"10.3.0.{number}"), {"email": ANN}, deviceToken=text)
        requester = await key.requester(text, _recipient(), "10.3.0.1")
        assert (requester.kind, requester.name) == ("client", "10.3.0.1"), text
    assert (await key.requester(own, _recipient(), "10.3.0.1")).kind == "device"
    await world.person(ann).delete("/v1/users/me")
    assert (await key.requester(own, _recipient(), "10.3.0.1")).kind == "client"
    assert DEVICE_DAYS == 400


def _recipient() -> Any:
    from app.auth.codes.senders import Recipient

    return Recipient("email", ANN)
