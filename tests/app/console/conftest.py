"""One served Satchel for all tests of the operator's pages, filled with hostile text, and a browser
for each module."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.app.console.planted import plant
from tests.app.console.visitor import Visitor
from tests.serving import Served, served


@dataclass(frozen=True)
class Operated:
    """A Satchel with something on every page; `planted` are the ids of it, by parameter of a
    path."""

    served: Served
    planted: dict[str, str]


@pytest.fixture(scope="session")
def operated(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with served(
        mongodb_uri, tmp_path_factory.mktemp("operated"), deletion_fence_seconds="1"
    ) as found:
        yield Operated(found, plant(found))


@pytest.fixture
def visit(browser: Browser, operated: Operated) -> Iterator[Callable[..., Visitor]]:
    """Makes somebody who is signed in: an admin's key, unless another one is given; nobody for
    None."""
    contexts = []

    def visit(key: str | None = operated.served.admin, **options: Any) -> Visitor:
        contexts.append(browser.new_context(**options))
        visitor = Visitor(contexts[-1].new_page(), operated.served.url)
        if key is not None:
            visitor.sign_in(key)
        return visitor

    yield visit
    for context in contexts:
        context.close()
