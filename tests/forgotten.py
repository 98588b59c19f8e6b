"""What is there and was not told to all that have to know of it: each in a sentence that names the
file. `tests/test_architecture.py` asks all of them; `docs/architecture.md` has the table."""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi.routing import APIRoute

import models
from app import work
from app.analytics import routes as analytics_routes
from app.main import ROUTERS, declared_rules
from app.repositories.hosts.host import GitHost
from app.repositories.hosts.registry import HOSTS
from app.web.routing import Router
from indexes.definitions import INDEXES
from indexes.index import Index
from models import DOCUMENTS
from models.api_key import APP_SCOPES
from models.base import Stored
from models.checked import Checked
from models.day import DayOfApp
from models.owned import OneToOne, OwnedByUser
from models.relations import EXEMPT, RELATIONS, OnMerge, Relation, Relations
from models.user import User
from scripts.rooms import sources
from tests.described import DOCUMENT, OPERATIONS, examples_of
from tests.factories.operations import RULES
from tests.factories.parameters import PARAMETERS, in_schema
from tests.factories.posted import makers_of, names_in
from tests.indexes import operations
from tests.indexes.plain import methods

ROOT = Path(__file__).parents[1]
OF_NO_APP: Final = {"GET /v1/users/{userId}/apps": "lists the caller's own app alone"}
"""Routes that take an app's scopes and are told no app, and what keeps an app's callers to it."""
BASES: Final = {Stored, OwnedByUser, OneToOne, DayOfApp, Checked}
"""What documents are made from."""
DELIVERIES: Final = {"/v1/webhooks/{service}/{connectionId}"}
"""What others send, to a place that a test has asked for."""
_OPERATION = re.compile(r"`((?:DELETE|PATCH|POST|PUT) /v1/[^`]+)`")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def modules(suffix: str) -> dict[str, Any]:
    """The modules of `app/` whose names end so."""
    names = [name for name in sources() if name.startswith("app.") and name.endswith(suffix)]
    return {name: importlib.import_module(name) for name in names}


def classes_of_models() -> set[type[Stored]]:
    found = [
        importlib.import_module(f"models.{info.name}")
        for info in pkgutil.iter_modules(models.__path__)
    ]
    return {
        value
        for module in found
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Stored)
    } - BASES


def documents(known: Collection[type[Stored]] = DOCUMENTS) -> list[str]:
    return [
        f"models/__init__.py: {each.__name__} ({each.__module__}) is not in DOCUMENTS"
        for each in classes_of_models() - {*known}
    ]


def references(relations: Relations = RELATIONS) -> list[str]:
    """A field that ends in `_id` refers to a document, or says why it does not."""
    there = {(each.child.collection_name(), each.field.split(".")[0]) for each in relations}
    fields = {
        (document.collection_name(), name)
        for document in DOCUMENTS
        for name in document.model_fields
    }
    named = {pair for pair in fields if pair[1].endswith("_id") and pair[1] != "revision_id"}
    silent = named - there - EXEMPT.keys()
    return [
        *(f"models/relations.py: {of}.{name} has no line" for of, name in silent),
        *(f"models/relations.py: there is no {of}.{name}" for of, name in {*EXEMPT} - named),
        *(f"models/relations.py: there is no {of}.{name}" for of, name in there - fields),
        *(f"models/relations.py: {of}.{name} has two" for of, name in there & EXEMPT.keys()),
    ]


def indexes_of_relations(
    relations: Relations = RELATIONS, indexes: Mapping[type[Stored], list[Index]] = INDEXES
) -> list[str]:
    """A deletion looks for children by their reference; of what is one to one an index is
    unique."""
    return [
        f"indexes/definitions.py: no index{' alone and unique' if each.one_to_one else ''} for"
        f" {each.label}"
        for each in relations
        if not is_found_by(each, indexes.get(each.child, []))
    ] + [
        f"models/relations.py: {each.label} is unique, so `one_to_one=True`"
        for each in relations
        if not each.one_to_one and is_unique(each, indexes.get(each.child, []))
    ]


def is_found_by(relation: Relation, indexes: Iterable[Index]) -> bool:
    if relation.one_to_one:
        return is_unique(relation, indexes)
    return any(
        next(iter(index.keys)) == relation.stored
        for index in indexes
        if "partialFilterExpression" not in index.options
    )


def is_unique(relation: Relation, indexes: Iterable[Index]) -> bool:
    return any(
        dict(each.keys) == {relation.stored: 1} and each.options.get("unique") for each in indexes
    )


def merges(relations: Relations = RELATIONS) -> list[str]:
    """Of a reference that is part of a unique index: moved, it could meet the target's own."""
    return [
        f"models/relations.py: what a merge does to {each.label} is not said: `merge=`, or `moving`"
        " in the domain's deletion.py"
        for each in relations
        if each.parent is User
        and each.merge not in (OnMerge.DROP, OnMerge.FIELDS)
        and each.child not in work.HOOKS.moving
        and any(
            each.stored in index.keys and index.options.get("unique")
            for index in INDEXES.get(each.child, [])
        )
    ]


def routers(known: Collection[Any] = ROUTERS) -> list[str]:
    ids = {id(each) for each in known}
    return [
        f"app/main.py: `{name}` of {module} is not in ROUTERS"
        for module, found in modules("routes").items()
        for name, value in vars(found).items()
        if isinstance(value, Router) and id(value) not in ids
    ]


def jobs(known: Collection[Any] = work.MODULES) -> list[str]:
    return [
        f"app/work.py: {name} is not in DOMAINS"
        for name, module in modules(".jobs").items()
        if hasattr(module, "handlers") and module not in known
    ]


def hooks(known: Any = work.HOOKS) -> list[str]:
    """Each hook of a `deletion.py` is among those that stand together."""
    told = {name: {*getattr(known, name)} for name in known.__dataclass_fields__}
    return [
        f"app/work.py: {name} is not in HOOKS"
        for name, module in modules(".deletion").items()
        if (own := getattr(module, "HOOKS", None))
        and any(not {*getattr(own, part)} <= there for part, there in told.items())
    ]


def examples(described: Mapping[str, Any] = OPERATIONS) -> list[str]:
    return [
        f"{folder_of(name)}/examples.py: no example for the body of {name}"
        for name, operation in described.items()
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if not examples_of(media)
    ]


def folder_of(operation: str) -> str:
    """The folder of its domain."""
    endpoints = {
        f"{method} {route.path}": route.endpoint.__module__
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    return "/".join(endpoints.get(operation, "app.<domain>.routes").split(".")[:2])


def callers_of_an_app(known: Collection[str] = OF_NO_APP) -> list[str]:
    """Keys and tokens that are bound to an app pass by its scopes, so a route that takes one of
    these says of which app it is, or stands here."""
    return [
        f"{folder_of(name)}: {name} takes the scope {access.scope}, which keys and tokens of an app"
        " have, and no app: refuse them, and say so in OF_NO_APP (tests/forgotten.py)"
        for name, access in declared_rules().items()
        if access.scope in APP_SCOPES
        and not access.public
        and name not in known
        and not takes_app(OPERATIONS.get(name, {}))
    ]


def takes_app(operation: Mapping[str, Any]) -> bool:
    """Whether an app is told: in the path, the query or the body."""
    told = {each["name"] for each in operation.get("parameters", [])}
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    return "appId" in told or any('"appId"' in json.dumps(resolved(each)) for each in bodies)


def resolved(body: Mapping[str, Any]) -> Any:
    """A body's schema and the schemas that it names."""
    names = re.findall(r"#/components/schemas/(\w+)", json.dumps(body.get("schema", {})))
    return [body.get("schema"), *(DOCUMENT["components"]["schemas"][name] for name in names)]


def restores(routes: Iterable[str] | None = None) -> list[str]:
    """What a restore does to what a route has written is decided, and said."""
    rows = [line for line in page("backups.md").splitlines() if line.startswith("| ")]
    told = {each for line in rows for each in _OPERATION.findall(line.split("|")[2])}
    asked = {*(declared_rules() if routes is None else routes)}
    there = {name for name in asked if "/v1/" in name and not name.startswith("GET ")}
    return [
        *(f"docs/backups.md: {name} is in no row of what a restore does" for name in there - told),
        *(f"docs/backups.md: there is no {name}" for name in told - there),
    ]


def parameters(known: Collection[str] = PARAMETERS) -> list[str]:
    """Tests send examples to what is there, and ask people's routes about what is theirs."""
    exampled = {
        name.split(" ")[1] for name, each in OPERATIONS.items() if "requestBody" in each
    } - DELIVERIES
    own = {name.split(" ")[1] for name, rule in RULES.items() if rule.owner}
    return [
        f'tests/factories/parameters.py: PARAMETERS has no "{name}" of {path}, and no POST to what'
        " is before it makes one"
        for path in sorted(exampled | own)
        for name in names_in(path)
        if name not in known and name not in makers_of(path) and not in_schema(name)
    ]


def operations_of_documents(told: Collection[str] = operations.OPERATIONS) -> list[str]:
    return [
        f"tests/indexes/operations.py, or the file of its domain beside it: {name} is in no line,"
        " and its signature does not say how it is called"
        for name in methods().keys() - {*told}
    ] + [f"tests/indexes: there is no {name}" for name in {*told} - methods().keys()]


def queries(text: str | None = None) -> list[str]:
    """What each analytics query answers, and what its cost depends on."""
    tables = [line for line in (text or page("analytics.md")).splitlines() if line.startswith("|")]
    rows = {word for line in tables for word in re.findall(r"`(?:/v1/analytics)?(/[\w-]+)`", line)}
    own = {route.path.removeprefix("/v1/analytics") for route in of_questions()}
    return [f"docs/analytics.md: {path} is not in the table of rows" for path in sorted(own - rows)]


def of_questions() -> list[Any]:
    """The routes that take a `Question`."""
    return [
        route
        for route in analytics_routes.router.routes
        if "chosen" in inspect.signature(route.endpoint).parameters  # type: ignore[attr-defined]
    ]


def hosts(known: Mapping[str, Any] = HOSTS) -> list[str]:
    """A Git host has what stands for it in tests, and its headers on the page."""
    connections = page("connections.md")
    declared = {*dir(GitHost), *GitHost.__annotations__}
    return [
        *(
            f"{file}: there is none"
            for name in known
            if not (ROOT / (file := server_of(name))).is_file()
        ),
        *(f"docs/connections.md: no word of {name}" for name in known if name not in connections),
        *(
            f"models/repository_connection.py: ServiceType has no {stem}"
            for stem in sorted(files_of_hosts() - {name.lower() for name in known})
        ),
        *(
            f"app/repositories/hosts/{name.lower()}.py: GitHost knows no {attribute}"
            for name, host in known.items()
            for attribute in vars(host or GitHost)
            if attribute.isupper() and attribute not in declared
        ),
    ]


def files_of_hosts() -> set[str]:
    """The hosts by their files."""
    files = (ROOT / "app/repositories/hosts").glob("*.py")
    return {path.stem for path in files if "(GitHost):" in path.read_text()}


def server_of(host: str) -> str:
    return f"tests/outside/hosts/{host.lower()}.py"


CHECKS: Final[tuple[Callable[[], list[str]], ...]] = (
    documents,
    references,
    indexes_of_relations,
    merges,
    routers,
    jobs,
    hooks,
    examples,
    callers_of_an_app,
    restores,
    parameters,
    operations_of_documents,
    queries,
    hosts,
)


if __name__ == "__main__":
    for check in CHECKS:
        for sentence in check():
            print(sentence)
