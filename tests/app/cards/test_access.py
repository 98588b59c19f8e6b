"""Who reaches what of the card programme: every route, by every kind of caller. Nobody reaches another account."""

import pytest

from models import DOCUMENTS
from tests.app.cards.rules import ACCOUNT_RULES, READ, WRITE, request_of
from tests.cast import Cast, Programme
from tests.harness import Api

ABOUT_ONE = [route for route in ACCOUNT_RULES if "{accountId}" in route]
SCOPES = ["users:read", "users:write", "sessions:write", "data:read", "data:write", "events:write", READ, WRITE]


async def everything() -> dict[str, list[object]]:
    """All documents of the programme, to see that nothing was written."""
    names = ("accounts", "users", "cards", "spendingprofiles", "cardevents", "guards")
    return {
        document.collection_name(): await document.raw().find({}, {"guard": 0}).sort("_id", 1).to_list()
        for document in DOCUMENTS
        if document.collection_name() in names
    }


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_nobody_is_told_to_say_who_they_are(cast: Cast, programme: Programme, route: str) -> None:
    method, path, options = request_of(route, programme)
    answer = await cast.nobody.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_a_key_with_every_scope_but_the_one_is_refused(api: Api, programme: Programme, route: str) -> None:
    before = await everything()
    without = await api.key(*(scope for scope in SCOPES if scope != ACCOUNT_RULES[route].scope))
    method, path, options = request_of(route, programme)
    answer = await without.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert await everything() == before


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_a_key_with_the_scope_is_let_pass(api: Api, programme: Programme, route: str) -> None:
    caller = await api.key(ACCOUNT_RULES[route].scope)
    method, path, options = request_of(route, programme)
    assert (await caller.request(method, path, **options)).is_success


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_a_key_of_the_account_gets_what_is_the_accounts(programme: Programme, route: str) -> None:
    method, path, options = request_of(route, programme)
    answer = await programme.manager.request(method, path, **options)
    assert answer.is_success if ACCOUNT_RULES[route].bound else answer.status_code == 403


@pytest.mark.parametrize("route", ABOUT_ONE)
async def test_a_key_of_another_account_is_told_nothing(programme: Programme, route: str) -> None:
    before = await everything()
    method, path, options = request_of(route, programme)
    answer = await programme.outsider_key.request(method, path, **options)
    method, path, options = request_of(route, programme, "f" * 24)
    absent = await programme.manager.request(method, path, **options)
    assert (answer.status_code, absent.status_code) == (404, 404)
    assert answer.json()["detail"] == absent.json()["detail"]
    assert await everything() == before


@pytest.mark.parametrize("route", [route for route in ABOUT_ONE if "Id}/" in route])
async def test_what_is_of_one_account_is_not_found_under_another(programme: Programme, cast: Cast, route: str) -> None:
    """The card and the profile are asked for under the path of the other account, by that account's key."""
    if "{cardId}" not in route and "{profileId}" not in route:
        pytest.skip("names neither")
    method, path, options = request_of(route, programme, programme.elsewhere)
    for caller in (programme.outsider_key, cast.admin):
        assert (await caller.request(method, path, **options)).status_code == 404


@pytest.mark.parametrize("route", ABOUT_ONE)
async def test_a_user_of_another_account_is_told_nothing(cast: Cast, programme: Programme, route: str) -> None:
    before = await everything()
    rule = ACCOUNT_RULES[route]
    method, path, options = request_of(route, programme)
    for stranger in (programme.outsider, cast.stranger):
        answer = await stranger.request(method, path, **options)
        assert answer.status_code == (404 if rule.holder == 200 else 403)
    assert await everything() == before


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_users_of_the_account_read_what_is_theirs_and_change_nothing(programme: Programme, route: str) -> None:
    before = await everything()
    rule = ACCOUNT_RULES[route]
    method, path, options = request_of(route, programme)
    assert (await programme.holder.request(method, path, **options)).status_code == rule.holder
    assert (await programme.colleague.request(method, path, **options)).status_code == rule.colleague
    assert await everything() == before


async def test_users_see_of_lists_what_is_theirs(programme: Programme) -> None:
    for path, mine in (("cards", programme.card), ("spending-profiles", programme.profile)):
        held = (await programme.holder.get(f"{programme.path}/{path}")).json()["items"]
        assert [item["id"] for item in held] == [mine]
        assert (await programme.colleague.get(f"{programme.path}/{path}")).json()["items"] == []
    others = {"userId": programme.holder.id}
    assert (await programme.colleague.get(f"{programme.path}/cards", params=others)).json()["items"] == []
    assert (await programme.holder.get(f"{programme.path}/spending-profiles/{programme.spare}")).status_code == 404


async def test_users_do_not_see_where_the_webhook_leads(programme: Programme) -> None:
    url = "https://hooks.example/secret-path"
    assert (await programme.manager.merge(programme.path, {"webhookUrl": url})).json()["webhookUrl"] == url
    assert (await programme.holder.get(programme.path)).json()["webhookUrl"] is None


async def test_a_bound_key_lists_its_own_account_and_an_unbound_one_all(api: Api, programme: Programme) -> None:
    listed = (await programme.manager.get("/v1/accounts")).json()["items"]
    assert [account["id"] for account in listed] == [programme.account]
    unbound = (await (await api.key(READ)).get("/v1/accounts")).json()["items"]
    assert [account["id"] for account in unbound] == [programme.elsewhere, programme.account]


async def test_a_bound_key_has_no_scope_beyond_its_account(cast: Cast, programme: Programme) -> None:
    wide = {"name": "wide", "scopes": ["accounts:read", "users:read"], "accountId": programme.account}
    refused = await cast.admin.post("/v1/api-keys", json=wide)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/accountId")
    made = await cast.admin.post("/v1/api-keys", json=wide | {"scopes": ["accounts:read"]})
    assert (made.status_code, made.json()["accountId"]) == (201, programme.account)
    nowhere = await cast.admin.post("/v1/api-keys", json=wide | {"scopes": ["accounts:read"], "accountId": "f" * 24})
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (400, "/accountId")


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/{holder}", "/v1/users/{holder}/profile"])
async def test_a_bound_key_that_got_wide_scopes_reaches_no_user(api: Api, programme: Programme, path: str) -> None:
    wide = await api.key("accounts:read", "users:read", account_id=programme.account)
    assert (await wide.get(path.format(holder=programme.holder.id))).status_code == 403
