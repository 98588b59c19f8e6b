"""No state by import: what an application knows is made at its start, and belongs to it."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from app.console.frame.pages import Page
from app.web.routing import Router
from scripts.rooms import sources

OURS = ("app", "models", "indexes")
MUTATORS = {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "move_to_end"}
MUTATORS |= {"pop", "popitem", "popleft", "remove", "setdefault", "update"}
CONTAINERS = {"dict", "list", "set", "deque", "defaultdict", "OrderedDict"}
CONSTANT = (Enum, BaseModel, tuple, Router, Page)
"""Kinds of values that stay as they are once their module is read."""

EXCEPTIONS = {
    # Functions that are worth remembering, bounded by what they are asked.
    "app.analytics.ingest.incoming._many": "validators, one for each kind of content",
    "app.analytics.query.periods._names": "the machine's timezones",
    "app.apps.json_schemas._compiled": "a version of an app's schemas compiles to the same again",
    "app.outside.client._tls": "a context costs more than a request; one for each client's files",
    "app.people.out.exported.fields_of": "which fields of a document are no secret",
    "app.people.rows._template": "what a document's model makes of nothing",
    "app.settings.load_settings": "the environment, read before there is an application",
    "app.web.layers.compression._remembered": "what a header says stays the same",
    "app.web.etags.tag_of": "forgotten when another epoch is taken over",
    "app.web.preconditions._http_date": "how a second is spelled",
    "models.email._ascii_domain": "how a domain is spelled in ASCII",
    # Beanie binds the document classes to one database of a process: what goes with that.
    "app.web.etags._epoch": "of the database that the documents are bound to",
    "models.claims._HELD": "rows of that database, named by ids that no other has",
    "models.clock.CLOCK": "that database's clock, for everything that compares times",
    # What is one of a process, however many applications are in it.
    "app.database.turns._WAITING": "writers of one document stand in one line; empty without any",
    "app.web.observability._NUMBERS": "numbers of requests, which no two of a process have",
}
"""What a module may change or remember nevertheless, and why."""


def defined(tree: ast.Module) -> dict[str, ast.expr]:
    """The names that a module assigns, with their values."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {each.id: node.value for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


def imported(tree: ast.Module) -> dict[str, str]:
    """The names that a module takes from others, by what they are there."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def root_of(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def changed(node: ast.AST) -> Iterator[str | None]:
    """The names whose values a piece of code changes; what is awaited is no container's method."""
    awaited = {each.value for each in ast.walk(node) if isinstance(each, ast.Await)}
    for each in ast.walk(node):
        if isinstance(each, ast.Global):
            yield from each.names
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            if each.func.attr in MUTATORS and each not in awaited:
                yield root_of(each.func.value)
        elif isinstance(each, ast.Assign | ast.Delete | ast.AugAssign):
            targets = [each.target] if isinstance(each, ast.AugAssign) else each.targets
            yield from (root_of(one) for one in targets if not isinstance(one, ast.Name))


def declared_global(function: ast.AST) -> set[str]:
    return {
        name for each in ast.walk(function) if isinstance(each, ast.Global) for name in each.names
    }


def own_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Parameters and local names of a function, those of functions within among them."""
    arguments = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
    stored = (each for each in ast.walk(function) if isinstance(each, ast.Name))
    return arguments | {each.id for each in stored if isinstance(each.ctx, ast.Store)}


def made_empty(tree: ast.Module) -> Iterator[str]:
    """Containers that are filled by somebody else, later; and counters. What is declared a Mapping
    or a Collection stays as it is."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and re.search(
            "Mapping|Collection|Sequence", ast.unparse(node.annotation)
        ):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and is_empty(node.value):
                    yield target.id


def is_empty(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        name = ast.unparse(value.func).split(".")[-1]
        return name == "count" or (name in CONTAINERS and not value.args)
    return isinstance(value, ast.Dict | ast.List) and not ast.unparse(value).strip("{}[]")


def changed_names(tree: ast.Module) -> set[str]:
    """What functions of a module change of it or of others, and what is made empty in it."""
    names = set(made_empty(tree))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    known = {*defined(tree), *imported(tree), *classes}
    for node in tree.body:
        is_code = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if not is_code:
            names |= {name for name in changed(node) if name in imported(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = own_names(node) - declared_global(node)
            names |= {name for name in changed(node) if name in known - hidden}
    return names


def all_state() -> set[str]:
    """What modules may change or remember, by name."""
    return {*state_by_code(), *state_by_value()}


def state_by_code() -> Iterator[str]:
    for module, tree in sources().items():
        if module.split(".")[0] in OURS:
            for name in changed_names(tree):
                place = imported(tree).get(name, f"{module}.{name}")
                if not isinstance(value_at(place), MetricWrapperBase):
                    yield place


def value_at(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(module), name, None)


def remembers(value: Any, module: str) -> bool:
    """Whether a value may be another one later: a cache of a function, an object of ours."""
    if hasattr(value, "cache_info") or hasattr(value, "cache_key"):
        return bool(getattr(value, "__module__", None) == module)
    kind = type(value)
    is_ours = kind.__module__.split(".")[0] in OURS and not isinstance(value, (type, *CONSTANT))
    params = getattr(kind, "__dataclass_params__", None)
    return is_ours and not (dataclasses.is_dataclass(kind) and params is not None and params.frozen)


def state_by_value() -> Iterator[str]:
    for module, tree in sources().items():
        if module.split(".")[0] in OURS:
            functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
            for name in {*defined(tree), *functions}:
                if remembers(getattr(importlib.import_module(module), name, None), module):
                    yield f"{module}.{name}"
