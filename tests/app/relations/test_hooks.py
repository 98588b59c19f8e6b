"""Deletion hooks: one of a collection, and each domain's among those that the application has."""

import importlib

import pytest

from app.relations.hooks import Hooks
from app.work import HOOKS
from models.user import User
from scripts.rooms import sources


async def note(*_: object) -> None:
    """Notes nothing."""


@pytest.mark.parametrize("kind", ["going", "released", "moving"])
def test_a_collection_has_one_hook(kind: str) -> None:
    domain = Hooks(**{kind: {User: note}})
    with pytest.raises(RuntimeError, match="User has a deletion hook already"):
        Hooks.together([domain, Hooks(), domain])


def test_every_domains_hooks_are_the_applications() -> None:
    others = ("app.console.", "app.settings.")  # a page, and what is set of deletions
    modules = [
        name
        for name in sources()
        if name.startswith("app.") and name.endswith(".deletion") and not name.startswith(others)
    ]
    hooks: list[Hooks] = [importlib.import_module(name).HOOKS for name in modules]
    assert len(hooks) > 1
    for kind in ("going", "released", "moving"):
        own = [item for each in hooks for item in getattr(each, kind).items()]
        assert dict(own) == getattr(HOOKS, kind)
