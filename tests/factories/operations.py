"""Every operation there is, how it is asked, and who may."""

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bson import ObjectId

from app.main import create_app, declared_rules
from app.settings import Settings
from models import User
from models.api_key import APP_SCOPES, Scope
from models.relations import children_of
from tests.app.cards.rules import ACCOUNT_RULES
from tests.factories import bank_operations as bank
from tests.factories import git_operations as git
from tests.factories.bodies import BODIES
from tests.factories.parameters import absent, names_in
from tests.harness import Caller

ACCESS = declared_rules()

_METHODS = ("get", "put", "post", "patch", "delete")

MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass(frozen=True)
class Rule:
    """What an operation declares as `x-satchel-access`.

    Attributes:
        scope: that a key needs; None where no key may.
        owner: whether users may do this for themselves.
        public: whether nobody is asked who they are.
        live: whether an ended session is refused.
        body: that it accepts, None where it takes none.
    """

    scope: str | None
    owner: bool
    public: bool
    live: bool
    body: Any


@functools.cache
def operations() -> dict[str, dict[str, Any]]:
    """`GET /v1/users` -> what OpenAPI says of it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None, mongodb_uri="mongodb://127.0.0.1:9", data_dir=Path(folder)
        )
        paths = create_app(settings).openapi()["paths"]
    return {
        f"{method.upper()} {path}": operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method in _METHODS
    }


def declared(name: str, operation: dict[str, Any]) -> Rule:
    access = operation["x-satchel-access"]
    return Rule(
        access["scope"], access["owner"], access["public"], access["liveSession"], BODIES.get(name)
    )


KINDS = ("track", "identify", "page", "screen", "group", "alias")

DECLARED = {
    name: declared(name, operation)
    for name, operation in operations().items()
    if "x-satchel-access" in operation
}

SIGNED = bank.SIGNED | git.SIGNED

ELSEWHERE = {*ACCOUNT_RULES, *bank.RULES, *git.RULES, "GET /v1/deletions/{deletionId}"}
"""Operations that are asked beside what they need: cards, connections, repositories,
tests/app/users/test_deletion."""

RULES = {name: rule for name, rule in DECLARED.items() if not rule.public and name not in ELSEWHERE}
"""Operations that ask who is calling."""

PUBLIC = {name for name, rule in DECLARED.items() if rule.public} - SIGNED

LIBRARIES = {"GET /sourceConfig", "GET /v1/projects/{writeKey}/settings", "POST /v1/m"}
"""What libraries of others ask for, with parameters and packing of their own; nothing is done about
it."""

WRITE_KEYS = {"POST /v1/batch", *(f"POST /v1/{kind}" for kind in KINDS)}

ALL_SCOPES = [scope for scope in get_args(Scope) if scope != "admin"]
"""Every scope but the one that is all of them."""


def request_of(route: str, user_id: str, **ids: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of an acceptable request that is about this user."""
    method, template = route.split(" ")
    given = {name: absent(name, user_id) for name in names_in(template)}
    path = template.format(**given | {"userId": user_id} | ids)
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if route in BODIES:
        options["json"] = BODIES[route]
    if path == "/v1/analytics/joins":
        options["params"] = {"appId": "notes"}
    elif method == "DELETE" and path.endswith("/data"):
        options["params"] = {"prefix": "k"}
    elif "/analytics/" in path and method == "GET" and not path.endswith("/quarantine"):
        options["params"] = {"userId": user_id} | (
            {"step": ["a", "b"]} if path.endswith("/funnel") else {}
        )
    if path == "/v1/batch" or path.removeprefix("/v1/") in KINDS:
        options["params"] = {"appId": "notes"}
    if "external-ids" in path and method == "PUT":
        options["json"] = {"userId": user_id}
    if path == "/v1/analytics/events":
        options["json"] = {**BODIES[route], "userId": user_id}
    return method, path, options


async def asked(caller: Caller, route: str, user_id: str, **ids: str) -> Any:
    method, path, options = request_of(route, user_id, **ids)
    return await caller.request(method, path, **options)


async def everything_of(caller: Caller) -> dict[str, list[Any]]:
    """Every stored document of a user, as it is; `guard` only counts."""
    user_id = ObjectId(caller.id)
    rows = {"users": await User.raw().find({"_id": user_id}, {"guard": 0}).to_list()}
    for relation in children_of(User):
        rows[relation.label] = await relation.child.raw().find({relation.stored: user_id}).to_list()
    return rows


def all_paths(routes: Any) -> set[str]:
    found = set()
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        found |= all_paths(inner) if inner else {route.path}
    return found


LASTING = sorted(
    name
    for name, access in ACCESS.items()
    if access.owner
    and not access.public
    and not name.startswith("GET ")
    and access.scope not in APP_SCOPES
)
"""What a person writes that stays when their session is over, apps' data, activity and events
apart."""
