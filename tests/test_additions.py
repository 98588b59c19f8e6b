"""How many files one more of each kind takes, as docs/architecture.md has it: the youngest that is
there is looked for by its name."""

import ast
import importlib
import inspect
import re
from typing import Any, cast, get_args

import pytest

from app.analytics import routes as analytics_routes
from indexes.definitions import INDEXES
from models import Invitation
from models.relations import RELATIONS
from models.repository_connection import ServiceType
from scripts.rooms import sources
from tests.described import OPERATIONS
from tests.factories import parameters

CODE = {
    name: ast.unparse(tree)
    for name, tree in sources().items()
    if not name.startswith(("scripts.bench", "scripts.demo", "app.console"))
}
"""Without what measures, shows or plants what is there."""
MADE_OF_A_TABLE = re.compile(r"(segment|(get|put|patch)(Profile|Preferences)$)")
"""Ids of operations that are put together."""
STEPS = {"chooseRole": {"models.user"}}
"""Who names an operation as what a person is to do next."""


def naming(word: str, *, quoted: bool = False) -> set[str]:
    """The modules in which a word stands: as it is, or as the whole of a text."""
    found = re.compile(rf"['\"]{word}['\"]" if quoted else rf"\b{word}\b")
    return {name for name, text in CODE.items() if found.search(text)}


def test_a_git_host_is_its_file_and_its_name() -> None:
    youngest = get_args(ServiceType)[-1]
    found = {name for name, text in CODE.items() if youngest.lower() in text.lower()}
    assert found == {
        f"app.repositories.hosts.{youngest.lower()}",
        "models.repository_connection",
    }


def test_a_collection_is_known_to_its_domain_and_four_tables() -> None:
    """With its three files there (routes, schemas, examples), the router in `app.main` and its
    test, these are nine."""
    outside = {
        name for name in naming(Invitation.__name__) if not name.startswith("app.repositories.")
    }
    assert outside == {
        "models.invitation",
        "models",  # `DOCUMENTS`
        "models.relations",
        "indexes.definitions",
        "app.recovery.takings",  # it can be taken away, and stays so after a restore
    }
    assert Invitation in INDEXES
    assert any(relation.child is Invitation for relation in RELATIONS)


def test_a_route_is_declared_in_one_place() -> None:
    """With its example and its test these are three files."""
    declared = {
        name: naming(name, quoted=True) - STEPS.get(name, set())
        for operation in OPERATIONS.values()
        if not MADE_OF_A_TABLE.match(name := operation["operationId"])
    }
    assert {name: found for name, found in declared.items() if len(found) != 1} == {}


def test_an_index_is_named_where_it_is_defined_alone() -> None:
    """With the query's line in `tests/indexes` these are two files."""
    named = {
        (index.name, module)
        for indexes in INDEXES.values()
        for index in indexes
        if "_1_" in index.name
        for module in naming(re.escape(index.name), quoted=True)
    }
    assert {pair for pair in named if not pair[1].startswith("indexes.")} == set()


JOBS = {
    (module, kind)
    for module in CODE
    if module.startswith("app.") and module.endswith(".jobs")
    for kind in getattr(importlib.import_module(module), "PERIODIC", {})
}


def test_a_job_is_in_one_file() -> None:
    """With its test these are two."""
    spread = {kind: found for _, kind in JOBS if len(found := naming(kind, quoted=True)) > 1}
    assert len(JOBS) > 10
    assert spread == {}


QUERIES = {
    name: value.__module__
    for name, value in vars(analytics_routes).items()
    if inspect.iscoroutinefunction(value) and value.__module__.startswith("app.analytics.query.")
}
"""What routes await, and where each is."""


def test_an_analytics_query_is_in_its_file_and_in_the_routes() -> None:
    """With its test these are three."""
    wrong = {}
    for name, module in QUERIES.items():
        taken = re.compile(rf"from {module} import [^\n]*\b{name}\b")
        found = {each for each, text in CODE.items() if taken.search(text)}
        wrong |= {name: found} if found != {"app.analytics.routes"} else {}
    assert {"funnel", "retention", "top_values"} <= QUERIES.keys()
    assert wrong == {}


async def test_a_new_parameter_of_a_path_is_told_to_one_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A placeholder follows from its schema; whoever needs more says what is missing, and where."""
    monkeypatch.setitem(parameters.SCHEMAS, "widgetId", {"type": "string"})
    path, told = "/v1/widgets/{widgetId}", '^tests/factories/parameters.py: .*"widgetId" has to say'
    assert parameters.absent("widgetId", "") == "f" * 24
    with pytest.raises(parameters.NotToldError, match=f"{told} `made`"):
        await parameters.made("widgetId", cast("Any", None), path)
    with pytest.raises(parameters.NotToldError, match=f"{told} `made`, or `owned=False`"):
        parameters.placed(path, {}, "")
    with pytest.raises(parameters.NotToldError, match=f"{told} `kept=None`"):
        parameters.kept_as("widgetId", {"userId": ""})


def test_every_told_parameter_is_in_a_path() -> None:
    assert parameters.PARAMETERS.keys() <= parameters.SCHEMAS.keys()
