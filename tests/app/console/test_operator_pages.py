"""Every page of the console in chromium: no errors, nothing amiss by axe-core, no sideways scroll,
nothing stored is run."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from app.console.navigation import PAGES, ROUTERS
from tests.app.console.conftest import Operated
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
SHOWN = sorted(
    route.path  # type: ignore[attr-defined]
    for router in ROUTERS
    for route in router.routes
    if "GET" in route.methods  # type: ignore[attr-defined]
)
LATER = {
    "/console/people/{userId}/deletion",
    "/console/operation/deletions/{deletionId}",
    "/console/people/{userId}/export",  # a file
}
"""Pages that are there only after something was done: the stories look at them."""
FURTHER = (
    "/console/people?q=nobody@example.com",
    "/console/data?user={userId}",
    "/console/data?user={userId}&app={appId}",
    "/console/data?user={userId}&app={appId}&gone=1",
    "/console/data?app={appId}",
    "/console/data?user=nobody",
    "/console/data/{userId}/{appId}/note:1?version=1",
    "/console/data/{userId}/{appId}/note:2",
)
WIDTHS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 820, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 800}},
}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_accessible_without_errors_and_runs_nothing_that_is_stored(
    visit: Callable[..., Visitor], operated: Operated, width: str
) -> None:
    visitor = visit(**WIDTHS[width])
    faults = {}
    for path in [*(path for path in SHOWN if path not in LATER), *FURTHER]:
        status = visitor.open(path.format(**operated.planted))
        visitor.page.evaluate(
            "document.querySelectorAll('details').forEach(one => one.open = true)"
        )
        if wrong := [*visitor.faults(), *([f"status {status}"] if status != 200 else [])]:
            faults[path] = wrong
        visitor.complaints.clear()
    assert faults == {}


def test_every_page_has_a_way_to_it() -> None:
    assert len({page.template for page in PAGES}) == len(PAGES)
    listed = {page.path for page in PAGES}
    assert listed <= {*SHOWN}


def test_lists_are_read_page_by_page(visit: Callable[..., Visitor], operated: Operated) -> None:
    visitor = visit()
    lists = ("/console/people", "/console/people/{userId}/activity")
    lists += ("/console/data?user={userId}&app={appId}", "/console/data?app={appId}")
    lists += ("/console/projects/{projectId}",)
    lists += ("/console/keys", "/console/operation/audit", "/console/operation/indexes")
    for path in lists:
        visitor.open(path.format(**operated.planted))
        visitor.follow(visitor.page.get_by_role("link", name="Next page"))
        visitor.page.get_by_role("link", name="First page").wait_for()
        assert "cursor=" in visitor.page.url
        assert visitor.page.locator("tbody tr, .timeline li").count() > 1
        visitor.follow(visitor.page.get_by_role("link", name="First page"))
        assert visitor.page.get_by_role("link", name="Next page").is_visible()


def test_pages_are_used_by_keyboard_alone(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.open("/console/people")
    visitor.page.keyboard.press("Tab")
    focused = "document.activeElement.textContent.trim()"
    assert visitor.page.evaluate(focused) == "Skip to the content"
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.name") == "q"
    visitor.page.keyboard.type("ann@example.com")
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_role("heading", name="Who").wait_for()
