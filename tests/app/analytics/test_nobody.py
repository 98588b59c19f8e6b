"""Ids that are nobody's: they join nobody, by any route and in any place, and a later word is the
first."""

from datetime import timedelta
from typing import Any

import pytest

from app.analytics.rollup.joins import carry_out_joins
from models.base import now, rfc3339
from models.person import IdentityJoin
from tests.cast import Cast
from tests.factories.events import roll_up
from tests.factories.segment import DONE, send, stored, write_key
from tests.harness import Api

NOBODY = [
    "null",
    "undefined",
    "[object Object]",
    "0",
    0,
    "",
    " ",
    "anonymous",
    "Guest",
    "0" * 24,
    "{{user.id}}",
]


async def people(cast: Cast) -> int:
    await carry_out_joins()
    await roll_up()
    (row,) = (await cast.admin.get("/v1/analytics/active-users", params={"appId": "notes"})).json()
    found: int = row["activeUsers"]
    return found


def item(kind: str, ago: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "event": "view",
        "timestamp": rfc3339(now() - timedelta(hours=ago)),
        **fields,
    }


@pytest.mark.parametrize("bad", NOBODY, ids=repr)
async def test_visitors_stay_apart_and_a_later_identify_is_the_first_word(
    cast: Cast, api: Api, bad: Any
) -> None:
    key = await write_key(api)
    visitors = [f"a-{number}" for number in range(4)]
    await send(key, *(item("track", 5, anonymousId=each) for each in visitors))
    assert await people(cast) == 4
    wrong = [
        item(kind, 4, anonymousId=each, userId=bad)
        for each in visitors
        for kind in ("identify", "track", "page")
    ]
    assert (await send(key, *wrong)).json() == DONE
    assert await IdentityJoin.raw().find({}).to_list() == []
    assert await people(cast) == 4
    assert len(await stored()) == 16
    await send(
        key,
        *(
            item("identify", 3, anonymousId=each, userId=f"crm-{each[-1] in '01'}-x")
            for each in visitors
        ),
    )
    assert await people(cast) == 2


@pytest.mark.parametrize("bad", NOBODY, ids=repr)
async def test_as_the_former_id_it_joins_nobody(cast: Cast, api: Api, bad: Any) -> None:
    server = await api.key("events:write", "users:write", app_id="notes")
    await send(
        server,
        item("alias", 2, previousId=bad, userId="crm-1"),
        item("alias", 2, previousId="a-1", userId=bad),
    )
    await send(server, item("identify", 2, anonymousId=bad, userId="crm-1"))
    assert await IdentityJoin.raw().find({}).to_list() == []
    for number in range(3):
        await send(server, item("track", 1, anonymousId=bad, userId=f"crm-{number}"))
    await send(server, item("track", 1, anonymousId=bad))
    assert await people(cast) == 3


@pytest.mark.parametrize("bad", [each for each in NOBODY if each not in (0, "")], ids=repr)
@pytest.mark.parametrize("alone", [False, True], ids=["array", "alone"])
async def test_our_own_route_leaves_it_out_too(cast: Cast, bad: str, alone: bool) -> None:
    event = {
        "appId": "notes",
        "eventName": "e",
        "eventCategory": "custom",
        "userId": bad,
        "anonymousId": "a-1",
    }
    for body in (event, {**event, "userId": None, "anonymousId": bad}):
        answer = await cast.app_key.post("/v1/analytics/events", json=body if alone else [body])
        assert answer.json() == {"accepted": 1, "duplicates": 0, "quarantined": 0}
    first, second = await stored()
    assert ("externalId" in first, first["anonymousId"]) == (False, "a-1")
    assert not {"externalId", "anonymousId", "userId"} & set(second)


@pytest.mark.parametrize("bad", ["null", "undefined", "[object Object]", "0", "guest"])
async def test_it_is_no_external_id(cast: Cast, bad: str) -> None:
    answer = await cast.admin.put(
        f"/v1/apps/notes/external-ids/{bad}", json={"userId": cast.owner.id}
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "path:externalId")
    assert await IdentityJoin.raw().find({}).to_list() == []


UNSET = [bad for bad in NOBODY if bad not in ("0", 0, "anonymous", "Guest", "0" * 24)]
"""What is no message's, either."""


@pytest.mark.parametrize("bad", UNSET, ids=repr)
async def test_as_a_message_or_a_session_it_is_none_and_every_event_counts(
    cast: Cast, api: Api, bad: Any
) -> None:
    key = await write_key(api)
    ids: dict[str, Any] = {"messageId": bad, "context": {"sessionId": bad}}
    await send(key, item("track", 2, anonymousId="a-1", **ids))
    await send(key, *(item("track", 1, anonymousId=f"a-{number}", **ids) for number in range(3)))
    rows = await stored()
    assert (len(rows), {"messageId", "sessionId"} & {name for row in rows for name in row}) == (
        4,
        set(),
    )
    if not isinstance(bad, str) or not bad:
        return
    own = {"appId": "notes", "eventName": "e", "eventCategory": "custom", "messageId": bad}
    for body in (own, [own, own]):
        answer = await cast.app_key.post("/v1/analytics/events", json=body)
        assert answer.json()["duplicates"] == 0
