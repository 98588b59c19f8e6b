"""The console in headless chromium: no errors, nothing serious by axe-core, every panel says what
the API says."""

import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from app.analytics.query.periods import floor
from models.base import rfc3339
from tests.app.console.dashboard import Console, drawn
from tests.serving import Served, served

NAMES = [
    ("page_viewed", "engagement", 10),
    ("signup", "conversion", 3),
    ("upgraded", "conversion", 1),
]
NAMES += [("crashed", "error", 1), ("exported", "custom", 2)]

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        mongodb_uri, tmp_path_factory.mktemp("console"), analytics_trail_seconds="0.1"
    ) as found:
        key = found.key("events:write", app_id="notes")
        events = list(told())
        for start in range(0, len(events), 500):
            sent = httpx2.post(
                f"{found.url}/v1/analytics/events",
                json=events[start : start + 500],
                headers={"Authorization": f"Bearer {key}"},
            )
            assert sent.json()["accepted"] == len(events[start : start + 500])
        yield found


def told() -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    moment = datetime.now(UTC)
    for number in range(3000):
        name, category, _ = chance.choices(NAMES, [weight for *_, weight in NAMES])[0]
        yield {
            "eventName": name,
            "eventCategory": category,
            "userId": f"person-{int(chance.triangular(0, 120, 5))}",
            "sessionId": f"s-{number // 4}",
            "messageId": f"m-{number}",
            "timestamp": rfc3339(
                moment - timedelta(minutes=chance.triangular(0, 60 * 24 * 14, 60))
            ),
        }


@pytest.fixture
def make_console(browser: Browser, satchel: Served) -> Iterator[Any]:
    contexts = []

    def make(of: Served = satchel, **options: Any) -> Console:
        contexts.append(browser.new_context(**options))
        console = Console(contexts[-1].new_page(), of)
        console.sign_in(of.key("analytics:read"))
        return console

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}}),
        ("dark", {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}}),
        ("narrow", {"color_scheme": "light", "viewport": {"width": 390, "height": 800}}),
    ],
)
def test_the_page_is_accessible_and_without_errors(
    make_console: Any, tmp_path: Path, name: str, options: Any
) -> None:
    console = make_console(**options)
    drawn(console.page)
    picture = console.page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
    assert len(picture) > 20_000
    assert console.serious() == []
    assert console.complaints == []
    width = console.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # no sideways scrolling


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?range=24h&tz=Asia/Kathmandu",
        "?eventCategory=conversion",
        "?eventName=signup",
        "?range=30d&step=page_viewed&step=signup&step=upgraded",
    ],
)
def test_every_panels_figures_are_the_apis(make_console: Any, satchel: Served, query: str) -> None:
    console = make_console()
    console.open(query)
    page, span = console.page, console.span
    if satchel.processes.get("worker") is None and query:
        satchel.start("worker")  # from here on by rollups
    filters = {
        name: value
        for name, value in _query(page).items()
        if name in ("eventName", "eventCategory")
    }
    whole = {name: value for name, value in span.items() if name != "interval"} | filters

    def figure(name: str) -> tuple[float, float]:
        found = page.locator(f"[data-figure='{name}']")
        return float(found.get_attribute("data-value") or 0), float(
            found.get_attribute("data-previous") or 0
        )

    def api(panel: str, **params: Any) -> Any:
        return satchel.get(f"/v1/analytics/{panel}", **params)

    (rate,) = api("error-rate", **whole, compare="previous")
    (users,) = api("active-users", **whole, compare="previous")
    apps = {name: value for name, value in whole.items() if name not in filters}
    (visits,) = api("sessions", **apps, compare="previous")
    assert figure("Events")[0] == rate["events"]
    assert figure("Error rate") == (rate["errorRate"], rate["previous"])
    assert figure("Active users") == (users["activeUsers"], users["previous"])
    assert figure("Sessions") == (visits["sessions"], visits["previous"])
    assert figure("Average session")[0] == visits["averageSeconds"]

    for panel in ("category-counts", "active-users", "error-rate"):
        told = page.evaluate(
            f"JSON.parse(document.querySelector('script[data-for=\"{panel}\"]').textContent)"
        )
        assert told == api(panel, **span, **filters)
    top = api("top", **whole)
    rows = page.locator("[data-panel=top] tbody tr[data-event]")
    assert [
        (
            row.get_attribute("data-event"),
            int(row.get_attribute("data-count") or 0),
            int(row.get_attribute("data-users") or 0),
        )
        for row in rows.all()
    ] == [(row["eventName"], row["count"], row["users"]) for row in top]
    reached = page.locator("[data-panel=funnel] tbody tr[data-step]").all()
    steps = page.evaluate("new URL(location.href).searchParams.getAll('step')")
    expected = api("funnel", **apps, step=steps) if steps else []
    assert [int(row.get_attribute("data-users") or 0) for row in reached] == [
        row["users"] for row in expected
    ]
    days = (datetime.fromisoformat(span["to"]) - datetime.fromisoformat(span["from"])).days
    interval: Any = "day" if days <= 8 else "week"
    begin = floor(datetime.fromisoformat(span["from"]), interval, ZoneInfo(span["tz"]))
    cohorts = api("retention", **{**whole, "from": rfc3339(begin)}, interval=interval)
    people = [
        int(cell.get_attribute("data-cohort") or 0)
        for cell in page.locator("td[data-cohort]").all()
    ]
    assert people == [row["users"] for row in cohorts if row["period"] == 0]
    shares = [
        float(cell.get_attribute("data-share") or 0)
        for cell in page.locator("td[data-share]").all()
    ]
    assert shares == [row["share"] for row in cohorts if row["period"]]


def _query(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate("Object.fromEntries(new URL(location.href).searchParams)")
    return found


def test_a_click_filters_and_the_address_says_it(make_console: Any) -> None:
    console = make_console()
    console.page.get_by_role("link", name="signup", exact=True).first.click()
    assert _query(console.page)["eventName"] == "signup"
    assert console.page.locator("[data-panel=top] tbody tr[data-event]").count() == 1
    console.page.get_by_role("link", name="30d").click()
    assert _query(console.page) == {"eventName": "signup", "range": "30d"}
    console.page.get_by_role("link", name="clear filters").click()
    assert console.page.locator("[data-panel=top] tbody tr[data-event]").count() >= 5


def test_panels_are_exported(make_console: Any, satchel: Served) -> None:
    console = make_console()
    for panel in ("category-counts", "active-users", "error-rate", "top", "retention"):
        for form, kind in (
            ("csv", "text/csv"),
            ("json", "application/json"),
            ("ndjson", "application/x-ndjson"),
        ):
            link = console.page.locator(
                f"[data-panel={panel}] .exports a", has_text=form.upper()
            ).first
            answer = console.page.request.get(satchel.url + (link.get_attribute("href") or ""))
            assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, kind)
            assert len(answer.body()) > 20


def test_events_appear_as_they_come_in(make_console: Any, satchel: Served) -> None:
    console = make_console()
    console.page.get_by_text("Events as they come in.").wait_for()
    event = {"appId": "notes", "eventName": "just-now <b>", "eventCategory": "custom"}
    httpx2.post(f"{satchel.url}/v1/analytics/events", json=event, headers=satchel.headers)
    console.page.locator("#feed li", has_text="just-now <b>").wait_for(timeout=10_000)
    assert console.complaints == []


def test_the_page_says_that_nothing_matches_and_that_nothing_came_yet(
    make_console: Any, mongodb_uri: str, tmp_path: Path
) -> None:
    console = make_console()
    console.open("?eventName=nothing-of-the-kind")
    assert console.page.get_by_role("heading", name="No match").is_visible()
    with served(mongodb_uri, tmp_path, shutdown_grace_seconds="600") as empty:
        fresh = make_console(empty)
        assert fresh.page.get_by_role("heading", name="No events yet").is_visible()
        assert "curl" in fresh.page.locator("section.empty pre").inner_text()
        drawn(fresh.page)
        assert fresh.serious() == []
        assert fresh.complaints == []
        fresh.page.get_by_text("Events as they come in.").wait_for()
        # an open feed does not hold it up, however long answers under way are waited for
        empty.stop()
        assert empty.processes == {}


def test_the_page_is_readable_without_script(make_console: Any) -> None:
    console = make_console(java_script_enabled=False)
    console.page.locator("[data-panel=top] tbody tr[data-event]").nth(4).wait_for()
    assert console.page.locator("canvas").first.is_hidden()
    console.page.locator("summary", has_text="Table").first.click()
    assert console.page.locator("[data-panel=category-counts] tbody tr").count() > 5


def test_the_key_is_out_of_reach_of_scripts_and_the_policy_is_strict(
    make_console: Any, satchel: Served
) -> None:
    console = make_console()
    (cookie,) = console.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    assert console.page.evaluate("document.cookie") == ""
    answer = console.page.request.get(f"{satchel.url}/console")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert cookie["value"] not in answer.text()
    console.page.get_by_role("button", name="Sign out").click()
    assert console.page.get_by_role("button", name="Sign in").is_visible()
    assert console.page.context.cookies() == []


def test_a_key_of_one_app_sees_that_app_alone(
    make_console: Any, satchel: Served, browser: Browser
) -> None:
    bad = {"appId": "boats", "eventName": "", "eventCategory": "custom"}
    httpx2.post(f"{satchel.url}/v1/analytics/events", json=[bad], headers=satchel.headers)
    context = browser.new_context()
    console = Console(context.new_page(), satchel)
    console.sign_in(satchel.key("analytics:read", app_id="boats"))
    console.open("?appId=notes")
    assert console.page.locator("[data-panel=top] tbody tr[data-event]").count() == 0
    assert console.page.locator("[data-quarantined]").get_attribute("data-quarantined") == "1"
    context.close()
    notes = make_console()
    notes.open("?appId=notes")
    assert notes.page.locator("[data-quarantined]").get_attribute("data-quarantined") == "0"


def test_the_first_page_leads_to_the_clients(satchel: Served) -> None:
    page = httpx2.get(f"{satchel.url}/console").text
    assert "make clients" in page and "docs/clients.md" in page


def test_only_keys_that_may_read_are_let_in(browser: Browser, satchel: Served) -> None:
    context = browser.new_context()
    console = Console(context.new_page(), satchel)
    for key, said in (
        ("sk_nothing", "no such key"),
        (satchel.key("events:write", app_id="notes"), "may not read"),
    ):
        console.sign_in(key)
        assert said in console.page.get_by_role("alert").inner_text()
    for path in ("/console/live", "/console/export/top"):
        assert httpx2.get(satchel.url + path).status_code == 401
    assert console.serious() == []
    context.close()


def test_the_keyboard_reaches_everything_in_order(make_console: Any) -> None:
    console = make_console()
    console.open()
    drawn(console.page)
    console.page.keyboard.press("Tab")
    assert console.page.evaluate("document.activeElement.className") == "skip"
    console.page.keyboard.press("Enter")
    console.page.keyboard.press("Tab")
    assert console.page.evaluate("document.querySelector('main').contains(document.activeElement)")
