"""What sign-in measures: codes that went out, and every refusal by its reason."""

from typing import Any

from app.auth.codes.senders import FAILED
from models.budget import Budget
from models.user import User
from tests.app.auth.conftest import PHONE, World
from tests.app.measured import counted
from tests.conftest import MakeApi
from tests.factories.codes import wrong

SENT: Any = ("satchel_codes_sent_total", {"channel": "phone", "purpose": "sign_in"})
DONE = "satchel_sign_ins_total"
FAILED_SIGN_INS = "satchel_sign_ins_failed_total"
REFRESHES = "satchel_refreshes_refused_total"


def seen() -> dict[str, float]:
    found = {"sent": counted(SENT[0], **SENT[1])}
    for reason in ("resend", "requester", "service", "sender"):
        found[reason] = counted("satchel_codes_refused_total", reason=reason)
    for method in ("code", "google"):
        found[method] = counted(DONE, method=method)
        for reason in ("wrong", "replayed", "inactive", "too_often"):
            found[f"{method} {reason}"] = counted(FAILED_SIGN_INS, method=method, reason=reason)
    for reason in ("not_valid", "reused", "inactive"):
        found[f"refresh {reason}"] = counted(REFRESHES, reason=reason)
    return found


def grown(before: dict[str, float]) -> dict[str, float]:
    return {name: more for name, now in seen().items() if (more := now - before[name])}


async def test_codes_that_go_out_and_those_that_are_refused_are_counted(
    make_api: MakeApi, world: World
) -> None:
    before = seen()
    await world.challenge(phoneNumber=PHONE)
    assert (await world.nobody.post("/v1/auth/otp", json={"phoneNumber": PHONE})).status_code == 429
    assert grown(before) == {"sent": 1, "resend": 1}
    world.mailbox.down, before = True, seen()
    refused = await world.nobody.post("/v1/auth/otp", json={"phoneNumber": "+14155550199"})
    assert (refused.status_code, refused.json()["detail"]) == (503, FAILED)
    assert grown(before) == {"sender": 1}
    world.mailbox.down = False
    for setting, reason in (("otp_per_client_per_hour", "requester"), ("otp_per_hour", "service")):
        await Budget.raw().delete_many({})  # what was counted by other limits is owed for an hour
        world.api, before = await make_api(**{**world.settings, setting: 1}), seen()
        for number in range(60):  # a code that the mailbox was too slow to take is none
            body = {"email": f"{reason}{number}@example.com"}
            if (await world.nobody.post("/v1/auth/otp", json=body)).status_code == 429:
                break
        assert grown(before)[reason] == 1


async def test_sign_ins_that_fail_are_counted_by_method_and_reason(
    make_api: MakeApi, world: World
) -> None:
    before = seen()
    challenge = await world.challenge(phoneNumber=PHONE)
    code = world.mailbox.code(PHONE)
    body = {"challengeId": challenge, "code": wrong(code)}
    assert (await world.nobody.post("/v1/auth/otp/verify", json=body)).status_code == 401
    signed = await world.nobody.post("/v1/auth/otp/verify", json={**body, "code": code})
    assert signed.status_code == 200
    assert grown(before) == {"sent": 1, "code wrong": 1, "code": 1}

    before, token = seen(), world.issuer.token("g-1", nonce=None)
    asked: Any = {"idToken": token, "nonce": None}
    statuses = [
        (await world.nobody.post("/v1/auth/oidc/google", json=each)).status_code
        for each in (asked, {**asked, "nonce": "another"})
    ]
    assert statuses == [401, 401]
    first = await world.by_token("google", "g-1")
    assert first.status_code == 200
    assert grown(before) == {"google wrong": 2, "google": 1}

    before = seen()
    await User.raw().update_many({}, {"$set": {"status": "inactive"}})
    assert (await world.by_token("google", "g-1", jti="another")).status_code == 403
    assert (await world.refresh(first.json()["refreshToken"])).status_code == 401
    assert (await world.refresh("rt_none")).status_code == 401
    assert grown(before) == {"google inactive": 1, "refresh inactive": 1, "refresh not_valid": 1}

    world.api = await make_api(**{**world.settings, "sign_in_failures_per_client_per_hour": 1})
    before = seen()
    statuses = [
        (await world.nobody.post("/v1/auth/oidc/google", json=asked)).status_code for _ in range(2)
    ]
    assert statuses[-1] == 429
    assert grown(before)["google too_often"] >= 1


async def test_a_refresh_token_that_was_stolen_is_counted(world: World) -> None:
    first = (await world.by_phone()).json()["refreshToken"]
    second = (await world.refresh(first)).json()["refreshToken"]
    assert (await world.refresh(second)).status_code == 200
    before = seen()
    assert (await world.refresh(first)).status_code == 401
    assert grown(before) == {"refresh reused": 1}


async def test_an_id_token_that_was_used_before_is_counted_as_such(world: World) -> None:
    from tests.outside.sign_in import NONCE

    body = {"idToken": world.issuer.token("g-2"), "nonce": NONCE}
    assert (await world.nobody.post("/v1/auth/oidc/google", json=body)).status_code == 200
    before = seen()
    assert (await world.nobody.post("/v1/auth/oidc/google", json=body)).status_code == 401
    assert grown(before) == {"google replayed": 1}
