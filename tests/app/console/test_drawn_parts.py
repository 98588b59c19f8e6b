"""Charts draw what is a part as a part."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx2
import pytest
from playwright.sync_api import Browser

from models.base import rfc3339
from tests.app.console.dashboard import Console, drawn
from tests.serving import Served, served

KATHMANDU = ZoneInfo("Asia/Kathmandu")  # 5:45 ahead of UTC: no clock is mistaken for the other


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(mongodb_uri, tmp_path_factory.mktemp("honest")) as found:
        moment = datetime.now(UTC)
        events = [
            {
                "appId": "notes",
                "eventName": "e",
                "eventCategory": "error",
                "timestamp": rfc3339(moment - timedelta(hours=6 * n)),
            }
            for n in range(40)
        ]
        found.post("/v1/analytics/events", events)
        yield found


@pytest.fixture
def console(browser: Browser, satchel: Served) -> Iterator[Console]:
    context = browser.new_context(timezone_id="America/New_York")  # neither UTC nor the page's
    console = Console(context.new_page(), satchel)
    console.sign_in(satchel.key("analytics:read"))
    yield console
    context.close()


DASHES = """(name) => {
  const chart = Chart.getChart(document.querySelector(`canvas[data-chart="${name}"]`));
  const line = chart.data.datasets[0];
  const dash = (number) => Boolean(
    line.segment.borderDash({p0DataIndex: number, p1DataIndex: number + 1}));
  const hollow = line.pointBackgroundColor.map((paint) => paint !== line.borderColor);
  return [line.data.slice(1).map((_, number) => dash(number)), hollow];
}"""


@pytest.mark.parametrize(
    ("first", "last"),
    [("06:00Z", "18:00Z"), ("00:00Z", "00:00Z"), ("", "")],
    ids=["cut", "whole", "until now"],
)
def test_the_charts_draw_parts_as_parts(console: Console, first: str, last: str) -> None:
    day = datetime.now(UTC).date()
    span = (
        f"from={day - timedelta(days=7)}T{first}&to={day - timedelta(days=2)}T{last}"
        if first
        else "range=7d"
    )
    is_cut = first != "00:00Z"
    console.open(f"?{span}&interval=day")
    drawn(console.page)
    for name in ("category-counts", "active-users", "error-rate"):
        dashed, hollow = console.page.evaluate(DASHES, name)
        assert (dashed[0], dashed[-1], any(dashed[1:-1])) == (is_cut, is_cut, False)
        assert (hollow[0], hollow[-1], any(hollow[1:-1])) == (is_cut, is_cut, False)
    assert console.complaints == []
    assert console.serious() == []


def test_live_events_are_told_by_the_pages_clock(console: Console, satchel: Served) -> None:
    console.open("?tz=Asia/Kathmandu")
    console.page.get_by_text("Events as they come in.").wait_for()
    httpx2.post(
        f"{satchel.url}/v1/analytics/events",
        json={"appId": "notes", "eventName": "just-now", "eventCategory": "custom"},
        headers=satchel.headers,
    )
    row = console.page.locator("#feed li", has_text="just-now")
    row.wait_for(timeout=20_000)
    told = row.locator("time").get_attribute("datetime")
    assert told is not None
    assert (
        row.locator("time").inner_text()
        == f"{datetime.fromisoformat(told).astimezone(KATHMANDU):%H:%M:%S}"
    )
    assert console.complaints == []


def test_the_from_and_to_that_are_shown_give_the_same_span_again(console: Console) -> None:
    console.open("?tz=Asia/Kathmandu&range=30d")
    before = console.span
    console.page.locator("details.custom summary").click()
    console.page.locator("details.custom button").click()
    assert console.span == before | {"interval": "day"}
    assert console.page.get_by_role("alert").count() == 0
