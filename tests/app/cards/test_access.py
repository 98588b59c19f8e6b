"""Who reaches what of the card programme: every route, by every kind of caller. Nobody reaches
another account."""

from collections.abc import Iterable

import pytest

from app.main import declared_rules
from models import DOCUMENTS
from tests.app.cards.rules import ACCOUNT_RULES, READ, WRITE, request_of
from tests.cast import Cast, Programme, programme_of
from tests.harness import Api, Caller

ACCESS = declared_rules()

ABOUT_ONE = [route for route in ACCOUNT_RULES if "{accountId}" in route]
SCOPES = [
    "users:read",
    "users:write",
    "sessions:write",
    "data:read",
    "data:write",
    "events:write",
    READ,
    WRITE,
]


async def everything() -> dict[str, list[object]]:
    """All documents of the programme, to see that nothing was written."""
    names = ("accounts", "users", "cards", "spendingprofiles", "cardevents", "guards")
    return {
        document.collection_name(): (
            await document.raw().find({}, {"guard": 0}).sort("_id", 1).to_list()
        )
        for document in DOCUMENTS
        if document.collection_name() in names
    }


Answers = dict[str, int]


@pytest.mark.parametrize("route", ACCOUNT_RULES)
def test_the_rules_are_what_the_operations_declare(route: str) -> None:
    declared, rule = ACCESS[route], ACCOUNT_RULES[route]
    assert (declared.scope, declared.owner, declared.public) == (
        rule.scope,
        rule.holder == 200,
        False,
    )


def test_every_operation_of_accounts_and_cards_has_a_rule() -> None:
    assert {route for route in ACCESS if " /v1/accounts" in route or "/card-events" in route} == {
        *ACCOUNT_RULES,
        "POST /v1/admin/card-events/{eventId}/redeliver",  # tests/app/test_access.py
    }


async def ask(
    caller: Caller, programme: Programme, routes: Iterable[str], account: str | None = None
) -> Answers:
    """What a caller is answered by each route; nothing may have been written."""
    before = await everything()
    answers = {}
    for route in routes:
        method, path, options = request_of(route, programme, account)
        answers[route] = (await caller.request(method, path, **options)).status_code
    assert await everything() == before
    return answers


async def test_nobody_is_told_to_say_who_they_are(cast: Cast, programme: Programme) -> None:
    assert await ask(cast.nobody, programme, ACCOUNT_RULES) == dict.fromkeys(ACCOUNT_RULES, 401)


@pytest.mark.parametrize("scope", [READ, WRITE, "admin"])
async def test_a_key_with_every_scope_but_the_one_is_refused(
    api: Api, programme: Programme, scope: str
) -> None:
    routes = [route for route, rule in ACCOUNT_RULES.items() if rule.scope == scope]
    without = await api.key(*(other for other in SCOPES if other != scope))
    assert routes
    assert await ask(without, programme, routes) == dict.fromkeys(routes, 403)


@pytest.mark.parametrize("route", ACCOUNT_RULES)
async def test_keys_with_the_scope_are_let_pass(
    api: Api, cast: Cast, programme: Programme, route: str
) -> None:
    """A key that is bound to the account, too; deletions are asked for by one of them, for there is
    one account."""
    rule = ACCOUNT_RULES[route]
    method, path, options = request_of(route, programme)
    bound = await programme.manager.request(method, path, **options)
    assert bound.is_success if rule.bound else bound.status_code == 403
    if method == "DELETE":
        programme = await programme_of(api, cast.admin)
        method, path, options = request_of(route, programme)
    assert (await (await api.key(rule.scope)).request(method, path, **options)).is_success


@pytest.mark.parametrize("elsewhere", [False, True], ids=["of no account", "of another account"])
async def test_a_person_who_is_an_admin_is_let_pass(
    api: Api, cast: Cast, programme: Programme, elsewhere: bool
) -> None:
    """Like an admin's key: they see every card and every profile, and where the webhook leads."""
    home = f"/v1/accounts/{programme.elsewhere}/users" if elsewhere else "/v1/users"
    made = (await cast.admin.post(home, json={"role": "admin"})).json()["id"]
    minted = await cast.admin.post(f"/v1/users/{made}/sessions")
    person = api.caller(minted.json()["accessToken"], made)
    for route in sorted(ACCOUNT_RULES, key=lambda route: route.startswith("DELETE")):
        if route != "DELETE /v1/accounts/{accountId}":
            method, path, options = request_of(route, programme)
            answer = await person.request(method, path, **options)
            assert answer.is_success, (route, answer.text)
    listed = (await person.get(f"{programme.path}/cards")).json()["items"]
    assert programme.card in {card["id"] for card in listed}
    assert (await person.delete(programme.path)).is_success


async def test_a_grant_to_a_user_of_an_account_is_admins_and_recorded(
    cast: Cast, programme: Programme
) -> None:
    users = f"{programme.path}/users"
    assert (await programme.manager.post(users, json={"role": "admin"})).status_code == 403
    made = (await cast.admin.post(users, json={"role": "admin"})).json()["id"]
    trail = (await cast.admin.get("/v1/admin/audit", params={"userId": made})).json()["items"]
    assert [(event["kind"], event["detail"]) for event in trail] == [
        ("grant", {"role": {"to": "admin"}})
    ]


async def test_a_key_of_another_account_is_told_nothing(programme: Programme) -> None:
    assert await ask(programme.outsider_key, programme, ABOUT_ONE) == dict.fromkeys(ABOUT_ONE, 404)
    assert await ask(programme.manager, programme, ABOUT_ONE, "f" * 24) == dict.fromkeys(
        ABOUT_ONE, 404
    )
    details = [
        (await programme.outsider_key.get(f"/v1/accounts/{account}")).json()["detail"]
        for account in (programme.account, "f" * 24, "nonsense")
    ]
    assert len(set(details)) == 1


async def test_what_is_of_one_account_is_not_found_under_another(
    programme: Programme, cast: Cast
) -> None:
    """The card and the profile are asked for under the path of the other account, by that account's
    key."""
    routes = [route for route in ABOUT_ONE if "{cardId}" in route or "{profileId}" in route]
    assert len(routes) == 6
    for caller in (programme.outsider_key, cast.admin):
        assert await ask(caller, programme, routes, programme.elsewhere) == dict.fromkeys(
            routes, 404
        )


async def test_a_user_of_another_account_is_told_nothing(cast: Cast, programme: Programme) -> None:
    wanted = {route: 404 if ACCOUNT_RULES[route].holder == 200 else 403 for route in ABOUT_ONE}
    for stranger in (programme.outsider, cast.stranger):
        assert await ask(stranger, programme, ABOUT_ONE) == wanted


async def test_users_of_the_account_read_what_is_theirs_and_change_nothing(
    programme: Programme,
) -> None:
    rules = ACCOUNT_RULES.items()
    assert await ask(programme.holder, programme, ACCOUNT_RULES) == {
        route: rule.holder for route, rule in rules
    }
    assert await ask(programme.colleague, programme, ACCOUNT_RULES) == {
        route: rule.colleague for route, rule in rules
    }


async def test_users_see_of_lists_what_is_theirs(programme: Programme) -> None:
    for path, mine in (("cards", programme.card), ("spending-profiles", programme.profile)):
        held = (await programme.holder.get(f"{programme.path}/{path}")).json()["items"]
        assert [item["id"] for item in held] == [mine]
        assert (await programme.colleague.get(f"{programme.path}/{path}")).json()["items"] == []
    others = {"userId": programme.holder.id}
    assert (await programme.colleague.get(f"{programme.path}/cards", params=others)).json()[
        "items"
    ] == []
    assert (
        await programme.holder.get(f"{programme.path}/spending-profiles/{programme.spare}")
    ).status_code == 404


async def test_users_do_not_see_where_the_webhook_leads(programme: Programme) -> None:
    url = "https://hooks.example/secret-path"
    assert (await programme.manager.merge(programme.path, {"webhookUrl": url})).json()[
        "webhookUrl"
    ] == url
    assert (await programme.holder.get(programme.path)).json()["webhookUrl"] is None


async def test_a_bound_key_lists_its_own_account_and_an_unbound_one_all(
    api: Api, programme: Programme
) -> None:
    listed = (await programme.manager.get("/v1/accounts")).json()["items"]
    assert [account["id"] for account in listed] == [programme.account]
    unbound = (await (await api.key(READ)).get("/v1/accounts")).json()["items"]
    assert [account["id"] for account in unbound] == [programme.elsewhere, programme.account]


async def test_a_bound_key_has_no_scope_beyond_its_account(
    cast: Cast, programme: Programme
) -> None:
    wide = {
        "name": "wide",
        "scopes": ["accounts:read", "users:read"],
        "accountId": programme.account,
    }
    refused = await cast.admin.post("/v1/api-keys", json=wide)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/accountId")
    made = await cast.admin.post("/v1/api-keys", json=wide | {"scopes": ["accounts:read"]})
    assert (made.status_code, made.json()["accountId"]) == (201, programme.account)
    nowhere = await cast.admin.post(
        "/v1/api-keys", json=wide | {"scopes": ["accounts:read"], "accountId": "f" * 24}
    )
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (400, "/accountId")


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/{holder}", "/v1/users/{holder}/profile"])
async def test_a_bound_key_that_got_wide_scopes_reaches_no_user(
    api: Api, programme: Programme, path: str
) -> None:
    wide = await api.key("accounts:read", "users:read", account_id=programme.account)
    assert (await wide.get(path.format(holder=programme.holder.id))).status_code == 403
