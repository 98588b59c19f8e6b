"""What the page shows is what it says: whole cohorts, parts told as parts, one clock, every app, no
funnel unasked."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from app.console.session import COOKIE
from models.base import now, rfc3339
from tests.cast import Cast
from tests.factories.events import roll_up
from tests.harness import Api

KATHMANDU = ZoneInfo("Asia/Kathmandu")  # 5:45 ahead of UTC: no clock is mistaken for the other


class Reader:
    """Somebody who reads the page without a browser."""

    def __init__(self, api: Api, key: str) -> None:
        self._api, self.key = api, key

    async def open(self, query: str = "") -> str:
        answer = await self._api.client.get(
            f"/console?{query}", headers={"Cookie": f"{COOKIE}={self.key}"}
        )
        assert answer.status_code == 200
        return answer.text


@pytest.fixture
async def reader(api: Api) -> Reader:
    key = (await api.key("analytics:read")).credential
    assert key is not None
    return Reader(api, key)


async def happen(
    cast: Cast, *events: tuple[str, datetime], app: str = "notes", category: str = "custom"
) -> None:
    body = [
        {
            "appId": app,
            "eventName": name,
            "eventCategory": category,
            "anonymousId": (
                f"somebody-{number}"
            ),  # everybody is new, so that a cut cohort is smaller
            "sessionId": f"s-{number}",
            "timestamp": rfc3339(at),
            "messageId": str(ObjectId()),
        }
        for number, (name, at) in enumerate(events)
    ]
    answer = await cast.admin.post("/v1/analytics/events", json=body)
    assert answer.json()["accepted"] == len(events)


@pytest.mark.parametrize(
    "query",
    ["range=30d", "range=7d", "range=90d&tz=Asia/Kathmandu", "range=24h&tz=America/New_York"],
)
async def test_every_cohort_is_whole(cast: Cast, reader: Reader, query: str) -> None:
    moment = now()
    await happen(
        cast,
        *((f"e-{hour % 3}", moment - timedelta(hours=hour)) for hour in range(0, 24 * 110, 13)),
    )
    page = await reader.open(query)
    interval = "week" if "range=30d" in query or "90d" in query else "day"
    zone = (
        "Asia/Kathmandu"
        if "Kathmandu" in query
        else "America/New_York"
        if "York" in query
        else "UTC"
    )
    rows = (
        await cast.admin.get(
            "/v1/analytics/retention",
            params={
                "interval": interval,
                "tz": zone,
                "from": rfc3339(moment - timedelta(days=180 if interval == "week" else 30)),
            },
        )
    ).json()
    whole = [row["users"] for row in rows if row["period"] == 0]
    shown = [int(found) for found in re.findall(r'data-cohort="(\d+)"', page)]
    assert shown == whole[-len(shown) :]
    assert len(shown) >= (1 if "24h" in query else 2)  # the last 24 hours may be of one day
    assert f"new in a {interval} and came back" in page


async def test_only_the_column_of_now_is_a_part_of_retention(cast: Cast, reader: Reader) -> None:
    await happen(cast, *(("e", now() - timedelta(days=day)) for day in range(20)))
    page = await reader.open("range=30d")
    retention = page[page.index('data-panel="retention"') : page.index('data-panel="live"')]
    rows = re.findall(r"<tr>(.*?)</tr>", retention, re.DOTALL)[1:]
    cells = [re.findall(r'<td class="n([^"]*)"', row) for row in rows]
    assert len(cells) >= 4
    for row in cells:
        assert ["part" in cell.split() for cell in row] == [False] * (len(row) - 1) + [True]
    assert "in italics: so far" in retention


@pytest.mark.parametrize("rolled_up", [False, True])
@pytest.mark.parametrize("which", ["eventName=signup", "eventCategory=conversion"])
async def test_sessions_say_that_they_heed_no_filter_of_events(
    cast: Cast, reader: Reader, which: str, rolled_up: bool
) -> None:
    await happen(
        cast, ("opened", now() - timedelta(hours=3)), ("signup", now() - timedelta(hours=2))
    )
    if rolled_up:
        await roll_up()
    said = r"<dt>(Sessions|Average session) <small>of all events</small></dt>"
    assert re.findall(said, await reader.open(which)) == ["Sessions", "Average session"]
    assert re.findall(said, await reader.open("appId=notes")) == []
    assert re.findall(r"<dt>(Events|Active users|Error rate)</dt>", await reader.open(which)) != []


async def test_no_funnel_is_shown_that_nobody_asked_for(cast: Cast, reader: Reader) -> None:
    await happen(cast, *((name, now() - timedelta(hours=3)) for name in "aaabbc"))
    page = await reader.open()
    assert 'data-step="' not in page
    assert "Name two events or more" in page
    asked = re.search(r'href="/console\?([^"]*step=[^"]*)"', page)
    assert asked is not None
    assert asked[1].replace("&amp;", "&") == "step=a&step=b&step=c"
    assert len(re.findall(r'data-step="\d"', await reader.open("step=a&step=b"))) == 2
    assert "whatever the filters of events" in await reader.open("step=a&step=b&eventName=c")
    assert 'data-step="' not in await reader.open("step=a")


async def test_every_app_is_in_the_list(cast: Cast, reader: Reader, api: Api) -> None:
    apps = [f"app-{number:03}" for number in range(120)]
    for app in apps[:100]:
        await happen(cast, ("e", now() - timedelta(hours=3)), app=app)
    await roll_up()
    for app in apps[100:]:
        await happen(cast, ("e", now()), app=app)

    def listed(page: str) -> list[str]:
        return re.findall(r'<option value="(app-\d+)">', page)

    assert listed(await reader.open()) == apps
    assert (
        listed(await reader.open("appId=app-117")) == apps
    )  # so that one may go from one to another
    own = await api.key("analytics:read", app_id="app-007")
    assert own.credential is not None
    page = await Reader(api, own.credential).open()
    assert listed(page) == ["app-007"]
    assert "app-008" not in page


async def test_the_page_has_one_clock(cast: Cast, reader: Reader) -> None:
    at = now().replace(microsecond=0) - timedelta(minutes=1)
    await happen(cast, ("e", at))
    await cast.admin.post("/v1/analytics/events", json=[{"appId": "notes", "eventName": ""}])
    await roll_up()
    page = await reader.open("tz=Asia/Kathmandu&range=24h")
    moments = re.findall(r'<time datetime="([^"]+)">([^<]+)</time>', page)
    assert len(moments) >= 4  # of the page, of the feed, of the rollups, of what was set aside
    for told, read in moments:
        local = datetime.fromisoformat(told).astimezone(KATHMANDU)
        assert read in (f"{local:%H:%M:%S}", f"{local:%d %b %Y %H:%M:%S}")
    fields = dict(re.findall(r'name="(from|to)" value="([^"]+)"', page))
    assert {name: value[-6:] for name, value in fields.items()} == {
        "from": "+05:45",
        "to": "+05:45",
    }
    assert re.findall(r"\bUTC\b", page) == []


async def test_a_span_without_an_offset_is_of_the_pages_clock(reader: Reader) -> None:
    page = await reader.open("from=2026-03-01T10:00&to=2026-03-03&tz=Asia/Kathmandu")
    assert 'data-from="2026-03-01T04:15:00.000Z" data-to="2026-03-02T18:15:00.000Z"' in page
    again = await reader.open(
        "from=2026-03-01T10:00%2B05:45&to=2026-03-03T00:00%2B05:45&tz=Asia/Kathmandu"
    )
    assert re.findall('data-from="[^"]+" data-to="[^"]+"', again) == re.findall(
        'data-from="[^"]+" data-to="[^"]+"', page
    )


CUT = "from=2026-03-02T06:00Z&to=2026-03-05T18:30Z&tz=UTC"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            f"{CUT}&interval=day",
            {"2026-03-02": "from 02 Mar 06:00", "2026-03-05": "until 05 Mar 18:30"},
        ),
        (f"{CUT}&interval=week", {"2026-03-02": "from 02 Mar 06:00 until 05 Mar 18:30"}),
        (f"{CUT}&interval=hour", {"2026-03-05T18": "until 18:30"}),
        ("from=2026-03-02&to=2026-03-05&interval=day", {}),
        ("from=2026-03-02&to=2026-03-05&interval=day&tz=Asia/Kathmandu", {}),
        (
            f"{CUT}&interval=day".replace("tz=UTC", "tz=Asia/Kathmandu"),
            {"2026-03-01": "from 02 Mar 11:45", "2026-03-05": "until 06 Mar 00:15"},
        ),
    ],
)
async def test_cut_buckets_are_said_to_be_cut(
    reader: Reader, query: str, expected: dict[str, str]
) -> None:
    page = await reader.open(query)
    told = re.search(r"data-parts='([^']*)'", page)
    assert told is not None
    found = dict(re.findall(r'"([^"]+)": "([^"]+)"', told[1]))
    assert len(found) == len(expected)
    for (time, part), (begin, said) in zip(found.items(), expected.items(), strict=True):
        assert time.startswith(begin)
        assert part == said
    marked = re.findall(
        r'<small class="part">([^<]+)</small>',
        page[page.index('data-panel="active-users"') : page.index('data-panel="error-rate"')],
    )
    assert marked == list(expected.values())
    assert ("Dashed to a hollow point" in page) == bool(expected)


async def test_what_is_not_over_yet_is_there_so_far(reader: Reader) -> None:
    ahead = rfc3339(now() + timedelta(days=2))
    for query in ("range=7d", "range=24h", "range=90d", f"from=2026-11-01&to={ahead}&interval=day"):
        page = await reader.open(query)
        parts = re.findall(
            r'<small class="part">([^<]+)</small>',
            page[page.index('data-panel="active-users"') : page.index('data-panel="error-rate"')],
        )
        assert "so far" in parts[-1], query


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (
            "tz=Berlin&appId=notes&range=30d",
            {"range": "30d", "app": "notes", "tz": "UTC", "interval": "day"},
        ),
        (
            "range=90d&interval=hour&appId=notes",
            {"range": "90d", "app": "notes", "tz": "UTC", "interval": "week"},
        ),
        (
            "tz=Europe/Berlin&from=soon&appId=notes",
            {"range": "7d", "app": "notes", "tz": "Europe/Berlin", "interval": "day"},
        ),
        (
            "tz=Berlin&range=90d&interval=hour&appId=notes",
            {"range": "90d", "app": "notes", "tz": "UTC", "interval": "week"},
        ),
    ],
)
async def test_one_fault_in_the_address_costs_no_filter(
    reader: Reader, query: str, kept: dict[str, str]
) -> None:
    page = await reader.open(query)
    assert 'role="alert"' in page
    assert f'name="appId" value="{kept["app"]}"' in page
    assert f'data-tz="{kept["tz"]}" data-interval="{kept["interval"]}"' in page
    assert re.search(rf'aria-current="true">{kept["range"]}<', page)
