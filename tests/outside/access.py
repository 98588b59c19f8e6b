"""Every kind of caller at one route, from the rule that the route has (design, guarantee 5)."""

from dataclasses import dataclass
from typing import Any, get_args

from models.api_key import Scope
from tests.cast import Cast
from tests.harness import Api, Caller

MERGE = {"Content-Type": "application/merge-patch+json"}
SCOPES = [scope for scope in get_args(Scope) if scope != "admin"]


@dataclass(frozen=True)
class Rule:
    """What a route asks for: the scope of a key, an acceptable body, and what a stranger is
    told."""

    scope: str
    body: Any = None
    stranger: int = 404


async def call(caller: Caller, route: str, rule: Rule, places: dict[str, str]) -> Any:
    method, template = route.split(" ")
    options: dict[str, Any] = {"headers": MERGE} if method == "PATCH" else {}
    if rule.body is not None:
        options["json"] = rule.body
    return await caller.request(method, template.format(**places), **options)


async def walk(api: Api, cast: Cast, route: str, rule: Rule, places: dict[str, str]) -> None:
    """Nobody 401; a key without the scope, a token of one app 403; strangers as the rule says;
    owner and key pass."""
    nobody = await call(cast.nobody, route, rule, places)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    without = await api.key(*(scope for scope in SCOPES if scope != rule.scope))
    refused = await call(without, route, rule, places)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    bound = await call(cast.owner_in_app, route, rule, places)
    assert (bound.status_code, bound.json()["code"]) == (403, "forbidden")
    stranger = await call(cast.stranger, route, rule, places)
    assert stranger.status_code == rule.stranger
    if rule.stranger == 404:
        missing = await call(cast.stranger, route, rule, dict.fromkeys(places, "f" * 24))
        assert (missing.status_code, missing.json()["detail"]) == (404, stranger.json()["detail"])
    assert (await call(cast.admin, route, rule, dict.fromkeys(places, "nonsense"))).status_code in (
        200,
        201,
        404,
    )
    with_scope = await call(await api.key(rule.scope), route, rule, places)
    assert with_scope.is_success, with_scope.text
    if not route.startswith("DELETE"):
        assert (await call(cast.owner, route, rule, places)).is_success
