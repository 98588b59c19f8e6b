"""A grant of admin and its end hold at once, on every operation, for tokens that are older than
either."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.monitoring import CommandStartedEvent

from app.main import declared_rules
from app.settings import Settings
from models import RefreshToken, User
from models.bank_account import BankAccount
from tests.cast import Cast, Programme
from tests.explain import QueryRecorder
from tests.factories import bank_operations as bank
from tests.factories import git_operations as git
from tests.factories.grants import signed_in
from tests.factories.operations import MERGE, asked, request_of
from tests.harness import Api, Caller, in_request, serve

ACCESS = declared_rules()

EVERYBODYS = ("POST /v1/projects", "GET /v1/projects", "POST /v1/analytics/events")
OWNERS = sorted(
    route
    for route, access in ACCESS.items()
    if access.owner and access.scope is not None and route not in EVERYBODYS
)
"""What owners do with what is theirs, and admins with what is anybody's."""
BODIES = {
    route: rule.body
    for rules in (git.RULES, bank.RULES)
    for route, rule in rules.items()
    if rule.body
}
BODIES["POST /v1/users/{userId}/connections"] = {
    **{"provider": "sandbox", "institution": "B", "label": "l", "accessToken": "sandbox-token-2"},
}


async def made(caller: Caller, path: str, body: dict[str, Any]) -> str:
    answer = await caller.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def places(cast: Cast, programme: Programme) -> dict[str, str]:
    """Ids of what is somebody else's."""
    project = await made(cast.owner, "/v1/projects", {"name": "Theirs"})
    body = BODIES["POST /v1/users/{userId}/connections"] | {"accessToken": "sandbox-token-1"}
    connection = await made(cast.owner, "/v1/users/me/connections", body)
    assert (await cast.owner.post(f"/v1/connections/{connection}/sync")).is_success
    account = await BankAccount.raw().find_one({})
    assert account is not None
    gone = (await cast.admin.post("/v1/users", json={})).json()["id"]
    assert (await cast.admin.delete(f"/v1/users/{gone}")).is_success
    return {
        **{"projectId": project, "connectionId": connection, "bankAccountId": str(account["_id"])},
        **{
            "accountId": programme.account,
            "cardId": programme.card,
            "profileId": programme.profile,
        },
        "deletionId": gone,
    }


async def told(caller: Caller, route: str, owner: str, places: dict[str, str]) -> tuple[int, Any]:
    """Status and reason of an answer."""
    method, path, options = request_of(route, owner, **places)
    if route in BODIES:
        options["json"] = BODIES[route]
    answer = await caller.request(method, path, **options)
    return answer.status_code, answer.json().get("detail") if answer.is_client_error else None


@pytest.mark.parametrize("route", OWNERS)
async def test_who_becomes_an_admin_is_one_on_every_operation_and_is_none_again_at_once(
    cast: Cast, api: Api, places: dict[str, str], route: str
) -> None:
    ann = await signed_in(api, cast)
    before = await told(ann, route, cast.owner.id, places)
    assert before[0] in (403, 404)
    assert (await cast.admin.merge(f"/v1/users/{ann.id}", {"role": "admin"})).status_code == 200
    granted = await told(ann, route, cast.owner.id, places)
    assert granted != before
    assert granted[0] != 403
    assert (await cast.admin.merge(f"/v1/users/{ann.id}", {"role": None})).status_code == 200
    assert await told(ann, route, cast.owner.id, places) == before


@pytest.mark.parametrize(
    "grant", [{"role": "admin"}, {"roles": ["user", "admin"]}], ids=["role", "roles"]
)
async def test_an_admin_lists_every_project_and_whoever_is_none_their_own(
    cast: Cast, api: Api, places: dict[str, str], grant: dict[str, Any]
) -> None:
    ann = await signed_in(api, cast)
    seen = []
    for change in (grant, {"role": None, "roles": ["user"]}, {}):
        seen.append([each["id"] for each in (await ann.get("/v1/projects")).json()["items"]])
        assert (await cast.admin.merge(f"/v1/users/{ann.id}", change)).status_code == 200
    assert seen == [[], [places["projectId"]], []]


async def test_an_admin_rules_in_a_project_that_they_are_only_a_reader_of(
    cast: Cast, api: Api, places: dict[str, str]
) -> None:
    ann = await signed_in(api, cast)
    path = f"/v1/projects/{places['projectId']}"
    assert (
        await cast.admin.put(f"{path}/members/{ann.id}", json={"role": "member"})
    ).status_code == 201
    assert (await ann.request("PATCH", path, json={"name": "x"}, headers=MERGE)).status_code == 403
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    assert (await ann.request("PATCH", path, json={"name": "x"}, headers=MERGE)).status_code == 200
    assert (
        await ann.delete(f"{path}/members/{cast.owner.id}")
    ).status_code == 409  # the last admin of the project


async def test_an_ended_session_of_an_admin_is_refused_where_being_one_would_count(
    cast: Cast, api: Api
) -> None:
    ann = await signed_in(api, cast)
    await User.raw().update_one({"_id": ObjectId(ann.id)}, {"$set": {"role": "admin"}})
    await RefreshToken.raw().delete_many({"userId": ObjectId(ann.id)})
    answer = await asked(ann, "GET /v1/users/{userId}", cast.owner.id)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_token_that_a_key_asked_for_is_no_admins_on_any_route(cast: Cast, api: Api) -> None:
    ann = (await cast.admin.post("/v1/users", json={})).json()["id"]
    token = (await (await api.key("sessions:write")).post(f"/v1/users/{ann}/sessions")).json()[
        "accessToken"
    ]
    await User.raw().update_one({"_id": ObjectId(ann)}, {"$set": {"role": "admin"}})
    answer = await asked(api.caller(token, ann), "GET /v1/users/{userId}", cast.owner.id)
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no such user")


HOT = [
    *(
        f"{verb} /v1/users/{{userId}}/apps/{{appId}}/data/{{dataKey}}"
        for verb in ("GET", "PUT", "PATCH", "DELETE")
    ),
    "POST /v1/analytics/events",
    "GET /v1/users/{userId}/apps/{appId}/data",
    "GET /v1/users/{userId}/activity",
]


class UserLookups(QueryRecorder):
    """Counts the queries of requests that look for a user."""

    count = 0

    def started(self, event: CommandStartedEvent) -> None:
        if in_request.get() and event.command_name == "find" and event.command["find"] == "users":
            self.count += 1


@pytest.mark.parametrize("route", HOT)
@pytest.mark.parametrize("own", [True, False], ids=["own", "another's"])
async def test_only_for_what_is_anothers_it_is_asked_whether_one_is_an_admin(
    cast: Cast, base_settings: Settings, route: str, own: bool
) -> None:
    """A lookup would be a second query of each hot request."""
    lookups = UserLookups()
    async with serve(base_settings, lookups) as api:
        ann = await signed_in(api, cast)
        for _ in range(2):  # what is remembered of app and user is so then
            lookups.count = 0
            await asked(ann, route, ann.id if own else cast.owner.id)
    assert lookups.count == (0 if own or "{userId}" not in route else 1)
