"""Segment's and RudderStack's libraries as npm has them, in chromium, on a page of another origin
than Satchel's.

Answers are lost after Satchel has taken what was sent; every event is counted once all the same.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

from tests.clients.pages import Network, network, pages
from tests.serving import ROOT, Served, served

PACKAGES = Path(__file__).parent / "node_modules"
SEGMENT = "@segment/analytics-next/dist/umd/index.js"
SNIPPET = "@segment/analytics-next/dist/umd/standalone.js"
RUDDER = "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
RUDDER_LEGACY = "@rudderstack/analytics-js/dist/npm/legacy/bundled/umd/index.js"
CLICKS = 8
DOCS = (ROOT / "docs" / "analytics.md").read_text()
_SECONDS = 120

LOAD_SEGMENT = """([writeKey, url, options]) => {
  window.client = AnalyticsNext.AnalyticsBrowser.load({writeKey, cdnURL: url}, options);
  client.then(() => window.loaded = true);
}"""
LOAD_RUDDER = """([key, url, options]) => {
  window.client = new window.rudderanalytics.RudderAnalytics();
  client.load(key, url, {configUrl: url, ...options, onLoaded: () => window.loaded = true});
}"""
TELL = f"""async () => {{
  client.page("Shop", {{path: "/shop"}});
  client.identify("crm-7", {{plan: "team"}});
  client.group("g-1", {{size: 3}});
  for (let number = 0; number < {CLICKS}; number++)
    client.track("clicked", {{number, category: "conversion"}});
  client.alias("crm-8", "crm-7");
}}"""
CLICK = f"""() => {{
  const told = [];
  for (let number = 0; number < {CLICKS}; number++) told.push(client.track("clicked", {{number}}));
  Promise.all(told).then(() => window.taken = true);
}}"""
KEPT = r"""() => Object.entries(localStorage).filter(([name, value]) =>
  /dest-Segment.io:items|rudder_.*\.(queue|inProgress|batchQueue)/.test(name) && /\w/.test(value)
).map(([name]) => name)"""
TOLD = Counter({"Viewed Shop Page": 1, "identify": 1, "group": 1, "clicked": CLICKS, "alias": 1})
CLICKED = Counter({"clicked": CLICKS})
BATCHING = {
    "integrations": {
        "Segment.io": {"deliveryStrategy": {"strategy": "batching", "config": {"timeout": 500}}}
    }
}
LATE_BATCHING = {
    "integrations": {
        "Segment.io": {
            "deliveryStrategy": {
                "strategy": "batching",
                "config": {"size": 100, "timeout": 600_000},
            }
        }
    }
}
BATCHES = {"queueOptions": {"batch": {"enabled": True, "maxItems": 5, "flushInterval": 500}}}
BEACONS = {"useBeacon": True, "beaconQueueOptions": {"maxItems": 4, "flushQueueInterval": 500}}
LATE_BEACONS = {
    "useBeacon": True,
    "beaconQueueOptions": {"maxItems": 100, "flushQueueInterval": 600_000},
}
LIBRARIES = {SEGMENT: LOAD_SEGMENT, RUDDER: LOAD_RUDDER, RUDDER_LEGACY: LOAD_RUDDER}

pytestmark = [
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
    ),
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="npm is not on PATH: it installs the libraries"
    ),
]


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(mongodb_uri, tmp_path_factory.mktemp("libraries")) as found:
        yield found


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    for script in (SEGMENT, RUDDER):
        assert (PACKAGES / script).exists(), f"{script} is missing: make .venv/test.stamp"
    with pages(PACKAGES) as url:
        yield url


@pytest.fixture(scope="module")
def wire(satchel: Served) -> Iterator[Network]:
    with network(satchel.url) as found:
        yield found


class Shop:
    """A browser with pages of the site, and an app of its own to count for."""

    def __init__(self, context: BrowserContext, satchel: Served, wire: Network, site: str) -> None:
        self.context, self.satchel, self.wire, self.site = context, satchel, wire, site
        self.app_id = f"shop-{time.monotonic_ns()}"
        self.key = satchel.key("events:write", app_id=self.app_id)
        self.asked: set[str] = set()
        self.began = 0
        context.on("request", self.note)

    def note(self, request: Request) -> None:
        self.asked.add(request.url.split("/")[2])
        self.began += request.url.endswith("/v1/t")

    def open(self, script: str, options: Any, *, key: str | None = None) -> Page:
        page = self.context.new_page()
        page.goto(f"{self.site}/?{script}")
        page.evaluate(LIBRARIES[script], [key or self.key, self.wire.url, options])
        page.wait_for_function("window.loaded")
        return page

    def stored(self) -> list[dict[str, Any]]:
        return list(self.satchel.database["analytics"].find({"appId": self.app_id}))

    def counts(self) -> Counter[str]:
        rows = self.satchel.get("/v1/analytics/event-counts", appId=self.app_id)
        return Counter({row["eventName"]: row["count"] for row in rows})

    def wait_for(self, expected: Counter[str]) -> None:
        """Until as many events are there, and the browser has nothing left to send."""
        deadline = time.monotonic() + _SECONDS
        while len(self.stored()) < expected.total() or self.waiting():
            assert time.monotonic() < deadline, (self.counts(), self.wire.sent[-20:])
            self.context.pages[0].wait_for_timeout(100)

    def wait_until_taken(self, page: Page, script: str, options: Any) -> None:
        """Until the library has begun to send each click, or has it in its batch: before, it is in
        no hands yet."""
        if options == LATE_BATCHING:
            page.wait_for_function("window.taken")
        while script == SEGMENT and not options and self.began < CLICKS:
            page.wait_for_timeout(10)

    def waiting(self) -> list[str]:
        """What the libraries keep in the browser, to be sent again."""
        found: list[str] = self.context.pages[0].evaluate(KEPT)
        return found


@pytest.fixture
def shop(browser: Browser, satchel: Served, wire: Network, site: str) -> Iterator[Shop]:
    context = browser.new_context()
    wire.forget()
    yield Shop(context, satchel, wire, site)
    context.close()


WAYS = [
    pytest.param(SEGMENT, {}, {f"/v1/{letter}" for letter in "tpiga"}, id="segment"),
    pytest.param(SEGMENT, BATCHING, {"/v1/b"}, id="segment, batching"),
    pytest.param(
        RUDDER,
        {},
        {f"/v1/{kind}" for kind in ("track", "page", "identify", "group", "alias")},
        id="rudder",
    ),
    pytest.param(RUDDER, BATCHES, {"/v1/batch"}, id="rudder, batching"),
    pytest.param(RUDDER_LEGACY, {}, {"/v1/track", "/v1/page"}, id="rudder, for old browsers"),
]


@pytest.mark.parametrize(("script", "options", "paths"), WAYS)
def test_every_event_is_counted_once_though_every_other_answer_is_lost(
    shop: Shop, script: str, options: Any, paths: set[str]
) -> None:
    shop.wire.forget(lambda number: number % 2 == 0)
    shop.open(script, options).evaluate(TELL)
    shop.wait_for(TOLD)
    assert shop.counts() == TOLD
    assert shop.wire.lost > 0
    assert paths <= shop.wire.posts().keys()
    assert set(Counter(row["messageId"] for row in shop.stored()).values()) == {1}
    assert shop.asked == {
        shop.site.split("/")[2],
        shop.wire.url.split("/")[2],
    }  # nobody else's server


def test_rudders_beacons_are_counted_once(shop: Shop) -> None:
    """`sendBeacon` sends text and no header, asks for no leave, and reads no answer."""
    shop.open(RUDDER, BEACONS).evaluate(TELL)
    shop.wait_for(TOLD)
    assert shop.counts() == TOLD
    assert set(shop.wire.posts()) == {"/beacon/v1/batch"}
    assert not [line for line in shop.wire.sent if line.startswith("OPTIONS /beacon")]


@pytest.mark.parametrize("body", [True, False], ids=["key in the body", "key in the address"])
def test_a_pages_own_beacon_is_counted(shop: Shop, body: bool) -> None:
    page = shop.context.new_page()
    page.goto(f"{shop.site}/?{SEGMENT}")
    item = {"type": "track", "event": "left", "anonymousId": "a-1", "messageId": "m-1"}
    place = f"{shop.wire.url}/v1/batch" + ("" if body else f"?writeKey={shop.key}")
    sent = {"batch": [item], **({"writeKey": shop.key} if body else {})}
    assert page.evaluate(
        "([url, sent]) => navigator.sendBeacon(url, JSON.stringify(sent))", [place, sent]
    )
    shop.wait_for(Counter({"left": 1}))
    assert shop.counts() == {"left": 1}


LEAVING = [
    pytest.param(SEGMENT, {}, id="segment"),
    pytest.param(SEGMENT, LATE_BATCHING, id="segment, batching"),
    pytest.param(RUDDER, {}, id="rudder"),
    pytest.param(RUDDER, LATE_BEACONS, id="rudder, beacons"),
]


@pytest.mark.parametrize("leave", ["closed", "gone elsewhere, and the first answers are lost"])
@pytest.mark.parametrize(("script", "options"), LEAVING)
def test_a_page_that_is_left_loses_nothing(
    shop: Shop, script: str, options: Any, leave: str
) -> None:
    """What is under way when the page goes is sent then, or by the next page of the site; it counts
    once anyhow."""
    stays = shop.open(script, options)
    page = shop.open(script, options)
    if leave == "closed":
        page.evaluate(CLICK)
        page.close(run_before_unload=True)
    else:
        shop.wire.forget(lambda number: number < 3)
        page.evaluate(CLICK)
        shop.wait_until_taken(page, script, options)
        page.goto("about:blank")
    shop.open(script, options)
    shop.wait_for(CLICKED)
    assert shop.counts() == CLICKED
    assert not stays.is_closed()


def test_events_wait_in_the_browser_while_satchel_is_down(shop: Shop, satchel: Served) -> None:
    segment, rudder = shop.open(SEGMENT, {}), shop.open(RUDDER, {})
    satchel.stop()
    try:
        for page in (segment, rudder):
            page.evaluate(CLICK)
    finally:
        satchel.start()
    shop.wait_for(CLICKED + CLICKED)
    assert shop.counts() == {"clicked": 2 * CLICKS}


def test_segments_snippet_of_the_docs_works_as_it_stands(shop: Shop) -> None:
    """Pasted with key and address, `standalone.js` from the site's own folder; what is told before
    it counts."""
    found = re.search(
        r"<script>\n(  window\.analytics = .*?)</script>\n<script async", DOCS, re.DOTALL
    )
    assert found is not None
    snippet = found[1].replace("sk_...", shop.key).replace("https://satchel.example", shop.wire.url)
    page = shop.context.new_page()
    page.goto(f"{shop.site}/")
    page.add_script_tag(content=snippet)
    page.evaluate(CLICK.replace("client", "analytics"))
    page.add_script_tag(url=f"{shop.site}/{SNIPPET}")
    expected = CLICKED + Counter({"Loaded a Page": 1})
    shop.wait_for(expected)
    assert shop.counts() == expected


@pytest.mark.parametrize("script", [SEGMENT, RUDDER])
def test_the_modules_of_the_docs_work_as_they_stand(shop: Shop, script: str) -> None:
    """What a bundler would load, from the global of the same build instead."""
    package = (
        "@segment/analytics-next" if script == SEGMENT else "@rudderstack/analytics-js/bundled"
    )
    found = re.search(rf'```js\nimport {{ (\w+) }} from "{package}";\n(.*?)```', DOCS, re.DOTALL)
    assert found is not None
    body = (
        found[2].replace("export const analytics", "window.analytics").replace("sk_...", shop.key)
    )
    source = "AnalyticsNext" if script == SEGMENT else "window.rudderanalytics"
    page = shop.context.new_page()
    page.goto(f"{shop.site}/?{script}")
    body = f"const {{ {found[1]} }} = {source};\n" + body.replace(
        "https://satchel.example", shop.wire.url
    )
    page.add_script_tag(content=f"{{{body}}}")
    expected = Counter({"signup": 1, **({"Loaded a Page": 1} if script == SEGMENT else {})})
    shop.wait_for(expected)
    assert shop.counts() == expected


def test_a_key_that_is_ended_is_told_by_the_first_event_and_costs_the_page_nothing(
    shop: Shop,
) -> None:
    for script in (SEGMENT, RUDDER):
        shop.open(script, {}, key="sk_nobodys").evaluate(CLICK)
    page = shop.context.pages[0]
    deadline = time.monotonic() + _SECONDS
    while shop.wire.posts()["/v1/t"] < CLICKS or shop.wire.posts()["/v1/track"] < CLICKS:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    assert shop.stored() == []
    assert page.evaluate("document.title") == "Shop"
