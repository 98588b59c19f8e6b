"""`expand=` embeds what the table of relations leads to, by one query, and only what the caller may
read by itself."""

import re
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from app.shown.documents import CardView, SpendingProfileView, UserView
from app.shown.expanding import expandable
from app.shown.links import MOST, links_of
from models import Card, SpendingProfile, User
from models.base import Raw
from tests.cast import Cast, Programme
from tests.harness import Api, Caller, RequestRecorder, in_request

ALL = "account,cards,profile,preferences"


@pytest.fixture
def sent(recorder: RequestRecorder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every command that a request sends: `find users`."""
    commands: list[str] = []
    started = recorder.started

    def note(event: CommandStartedEvent) -> None:
        if in_request.get():
            commands.append(f"{event.command_name} {event.command[event.command_name]}")
        started(event)

    monkeypatch.setattr(recorder, "started", note)
    return commands


async def shown(caller: Caller, path: str, expand: str) -> Raw:
    answer = await caller.get(path, params={"expand": expand})
    assert answer.status_code == 200, answer.text
    assert "etag" not in answer.headers
    return dict(answer.json())


async def test_a_user_has_all_that_is_asked_for(cast: Cast, programme: Programme) -> None:
    path = f"/v1/users/{programme.holder.id}"
    await cast.admin.merge(f"{path}/profile", {"bio": "planted"})
    bare = (await cast.admin.get(path)).json()
    full = await shown(cast.admin, path, ALL)
    assert {name: full[name] for name in bare} == bare
    assert full.keys() - bare.keys() == {"account", "cards", "profile", "preferences"}
    for name in ("profile", "preferences"):
        assert full[name] == (await cast.admin.get(f"{path}/{name}")).json()
    assert full["account"] == (await cast.admin.get(programme.path)).json()
    assert full["cards"] == [(await cast.admin.get(programme.card_path)).json()]
    assert full["cards"][0]["effectiveLimits"]["source"] == "spendingProfile"


async def test_who_has_nothing_has_no_account_and_an_empty_list(cast: Cast) -> None:
    full = await shown(cast.admin, f"/v1/users/{cast.stranger.id}", "account,cards")
    assert "account" not in full and full["cards"] == []


async def test_many_rows_cost_one_query_more(
    cast: Cast, programme: Programme, sent: list[str]
) -> None:
    counts = []
    await cast.admin.get("/v1/users")  # from here on the key is known
    for path in ("/v1/users", f"{programme.path}/users"):
        for limit in (1, 50):
            for expand in ({}, {"expand": "profile"}, {"expand": ALL}):
                sent.clear()
                answer = await cast.admin.get(path, params={"limit": limit, **expand})
                assert answer.status_code == 200
                counts.append(
                    (path, limit, len(answer.json()["items"]), len(sent), "expand" in expand)
                )
    rows = {(path, found) for path, _, found, _, _ in counts}
    assert len(rows) == 4, "the lists are to differ in how many they have"
    for path in ("/v1/users", f"{programme.path}/users"):
        without = {each[3] for each in counts if each[0] == path and not each[4]}
        with_it = {each[3] for each in counts if each[0] == path and each[4]}
        assert len(without) == len(with_it) == 1
        assert with_it.pop() == without.pop() + 1
    assert "aggregate users" in sent


async def test_cards_are_read_with_all_that_is_asked_for_by_their_one_query(
    programme: Programme, sent: list[str]
) -> None:
    counts = []
    await programme.manager.get(programme.card_path)  # from here on the key is known
    for expand in ({}, {"expand": "user,spendingProfile,account"}):
        sent.clear()
        answer = await programme.manager.get(f"{programme.path}/cards", params=expand)
        counts.append(len(sent))
    assert counts[0] == counts[1]
    (card,) = answer.json()["items"]
    assert [card[each]["name"] for each in ("user", "spendingProfile", "account")] == [
        "Holder",
        "Travel",
        "Acme",
    ]


async def test_spending_profiles_have_their_account_and_the_newest_cards(
    programme: Programme,
) -> None:
    for number in range(MOST + 1):
        body = {"userId": programme.colleague.id, "spendingProfileId": programme.profile}
        made = await programme.manager.post(
            f"{programme.path}/cards", json={**body, "lastFour": f"{number:04}"}
        )
        assert made.status_code == 201
    listed = await programme.manager.get(
        f"{programme.path}/spending-profiles", params={"expand": "account,cards"}
    )
    by_name = {each["name"]: each for each in listed.json()["items"]}
    assert by_name["Spare"]["cards"] == []
    newest = [f"{number:04}" for number in range(MOST, 0, -1)]
    assert [card["lastFour"] for card in by_name["Travel"]["cards"]] == newest
    assert by_name["Travel"]["account"]["name"] == "Acme"
    # A holder sees the account without its webhook, and of the cards their own.
    mine = await shown(programme.holder, programme.profile_path, "account,cards")
    assert [card["lastFour"] for card in mine["cards"]] == ["4242"]


async def test_what_one_may_not_read_is_not_embedded(
    api: Api, cast: Cast, programme: Programme
) -> None:
    users = await api.key("users:read")
    for name in ("account", "cards"):
        for path in ("/v1/users", f"/v1/users/{programme.holder.id}"):
            refused = await users.get(path, params={"expand": f"profile,{name}"})
            assert refused.status_code == 403 and "accounts:read" in refused.json()["detail"]
    assert (await users.get("/v1/users", params={"expand": "profile"})).status_code == 200
    # A key that is bound to an account reads the users of it, their cards, and not their profiles.
    path = f"{programme.path}/users"
    listed = await programme.manager.get(path, params={"expand": "account,cards"})
    assert {user["account"]["id"] for user in listed.json()["items"]} == {programme.account}
    for name in ("profile", "preferences"):
        assert (await programme.manager.get(path, params={"expand": name})).status_code == 403
    assert (await cast.stranger.get("/v1/users", params={"expand": "cards"})).status_code == 403
    other = await cast.stranger.get(
        f"/v1/users/{programme.holder.id}", params={"expand": "profile"}
    )
    assert other.status_code == 404


async def test_people_see_their_own_and_no_webhook_of_their_account(
    cast: Cast, programme: Programme
) -> None:
    changed = {"webhookUrl": "https://hooks.example.com/planted"}
    assert (await programme.manager.merge(programme.path, changed)).status_code == 200
    mine = await shown(programme.holder, "/v1/users/me", ALL)
    assert mine["account"]["id"] == programme.account and len(mine["cards"]) == 1
    card = await shown(programme.holder, programme.card_path, "account")
    assert "planted" not in str(mine) + str(card)
    assert "planted" in str(await shown(cast.admin, f"/v1/users/{programme.holder.id}", "account"))


@pytest.mark.parametrize("expand", ["acount", "account,", "sessions", "account,refreshtokens", "x"])
@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/me", "{}/users", "{}/spending-profiles"])
async def test_unknown_names_are_refused(
    cast: Cast, programme: Programme, path: str, expand: str
) -> None:
    caller = programme.holder if path.endswith("me") else cast.admin
    answer = await caller.get(path.format(programme.path), params={"expand": expand})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?expand"


def test_names_come_from_the_table_of_relations() -> None:
    assert expandable(User, UserView) == ["account", "cards", "preferences", "profile"]
    assert expandable(Card, CardView) == ["account", "spendingProfile", "user"]
    assert expandable(SpendingProfile, SpendingProfileView) == ["account", "cards"]
    links = links_of(User)
    assert links["profile"].relation.label == "profiles.userId"
    assert links["account"].is_parent and links["cards"].is_many


async def test_openapi_tells_the_names_and_keeps_the_page(api: Api) -> None:
    document: Any = (await api.client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/users"]["get"]
    (told,) = [each for each in operation["parameters"] if each["name"] == "expand"]
    for name in ALL.split(","):
        assert re.fullmatch(told["schema"]["pattern"], name) and f"`{name}`" in told["description"]
    page = document["components"]["schemas"]["UserPage"]
    assert page["properties"]["items"]["items"] == {"$ref": "#/components/schemas/UserView"}
    user = document["components"]["schemas"]["UserView"]
    assert set(ALL.split(",")).isdisjoint(user.get("required", []))
