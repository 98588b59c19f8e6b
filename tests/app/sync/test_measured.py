"""What sync measures: requests for changes, and what a quota had no room for."""

from tests.app.measured import counted
from tests.cast import Cast

CHANGES = "/v1/users/me/apps/notes/changes"
POLLS, REFUSALS = "satchel_change_polls_total", "satchel_quota_refusals_total"


def polls() -> dict[str, float]:
    return {
        f"{kind} {outcome}": counted(POLLS, kind=kind, outcome=outcome)
        for kind in ("at_once", "waited")
        for outcome in ("changes", "nothing")
    }


async def test_requests_for_changes_are_counted_by_what_came_of_them(cast: Cast) -> None:
    before = polls()
    cursor = (await cast.owner.get(CHANGES)).json()["cursor"]
    await cast.owner.put("/v1/users/me/apps/notes/data/a", json=1)
    assert (await cast.owner.get(CHANGES, params={"since": cursor, "wait": 1})).json()["changes"]
    cursor = (await cast.owner.get(CHANGES)).json()["cursor"]
    await cast.owner.get(CHANGES, params={"since": cursor, "wait": 1})
    grown = {name: now - before[name] for name, now in polls().items()}
    assert grown == {
        "at_once nothing": 1,
        "at_once changes": 1,
        "waited changes": 1,
        "waited nothing": 1,
    }


async def test_values_and_batches_count_what_a_quota_had_no_room_for(cast: Cast) -> None:
    assert (await cast.admin.put("/v1/apps/notes", json={"quota": {"keys": 1}})).is_success
    before = counted(REFUSALS)
    path = "/v1/users/me/apps/notes"
    statuses = [(await cast.owner.put(f"{path}/data/{key}", json=1)).status_code for key in "ab"]
    assert (statuses, counted(REFUSALS) - before) == ([201, 507], 1)
    batch = {"writes": [{"dataKey": "c", "value": 1}]}
    answer = await cast.owner.post(f"{path}/batch", json=batch)
    assert "quota_exceeded" in answer.text, answer.text
    assert counted(REFUSALS) - before == 2
