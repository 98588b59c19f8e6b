"""What the people of the demo do over its days: visits with events and activities, in daily and
weekly rhythm."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import accumulate
from math import exp
from random import Random
from typing import Any, Final

from models.base import rfc3339
from scripts.demo.catalogue import APPS, BAD_APP, BAD_DAY, HOURS, PLATFORMS, DemoApp, Happening
from scripts.demo.people import Person

Json = dict[str, Any]

_HOURS: Final = list(accumulate(HOURS))
_WEIGHTS: Final = {app.id: list(accumulate(each.weight for each in app.happenings)) for app in APPS}
_LONGEST_VISIT: Final = timedelta(minutes=30)
_FAILURES: Final = 0.025
_FAILURES_ON_BAD_DAY: Final = 0.75
_STRANGERS_PAGES: Final = ("page_viewed", "page_viewed", "pricing_viewed", "signup_opened")


@dataclass(slots=True)
class History:
    """What one person did.

    Attributes:
        events: bodies for `POST /v1/analytics/events`, without `userId`.
        activities: `(appId, eventType, eventData, sessionId, timestamp)`.
    """

    prefix: str
    events: list[Json] = field(default_factory=list)
    activities: list[tuple[str, str, Json, str, datetime]] = field(default_factory=list)

    def add(
        self,
        app: str,
        name: str,
        category: str,
        data: Json,
        session: str,
        moment: datetime,
        **more: str,
    ) -> None:
        """Note an event; its `messageId` tells it from all others, in every run."""
        self.events.append(
            {
                "appId": app,
                "eventName": name,
                "eventCategory": category,
                "eventData": data,
                "sessionId": session,
                "timestamp": rfc3339(moment),
                "messageId": f"{self.prefix}-{len(self.events)}",
                **more,
            }
        )


def history(who: Person, days: int, until: datetime) -> History:
    """What a person with an account did in the days before `until`."""
    random = Random(f"{who.seed}:{who.number}:visits")
    told = History(f"demo-{who.seed}-{who.number}")
    stops = random.uniform(0, days) if random.random() < 0.2 else -1.0
    seed = f"{who.seed}:{who.number}"
    for ago in range(min(int(who.joined), days - 1), -1, -1):
        if ago < stops:
            break
        first = who.is_new and ago == int(who.joined)
        for app in _apps_of_day(random, who, ago, until, certain=first):
            start = _start(random, until, ago, who.utc_offset)
            if start is not None and start > until - timedelta(days=days):
                joined = first and not told.events
                _visit(random, told, app, start, ago, joined=joined, seed=seed)
    return told


def ids(who: Person) -> Iterator[bytes]:
    """Ids for the person's activities, the same in every run."""
    stem = blake2b(f"{who.seed}:{who.number}".encode(), digest_size=8).digest()
    number = 0
    while True:
        yield stem + number.to_bytes(4, "big")
        number += 1


def stranger(seed: int, number: int, days: int, until: datetime) -> History:
    """What someone without an account did: a look at a page or two; every tenth is a partner's,
    known by its id."""
    random = Random(f"{seed}:stranger:{number}")
    told = History(f"demo-{seed}-s{number}")
    partner = number % 10 == 0
    who = (
        {"userId": f"partner-{seed}-{number}"}
        if partner
        else {"anonymousId": f"anonymous-{seed}-{number}"}
    )
    for visit in range(random.randint(3, 12) if partner else 1):
        app = random.choices(APPS, [app.share for app in APPS])[0]
        start = _start(random, until, int(days * (1 - random.random() ** 0.6)), 0)
        if start is None:
            continue
        session = f"{told.prefix}-v{visit}"
        for page in range(random.randint(1, 4)):
            data = {"platform": random.choice(PLATFORMS), "page": page + 1}
            moment = start + timedelta(seconds=page * random.randint(4, 90))
            told.add(app.id, _STRANGERS_PAGES[page], "engagement", data, session, moment, **who)
    return told


def _apps_of_day(
    random: Random, who: Person, ago: int, until: datetime, *, certain: bool
) -> list[DemoApp]:
    """The apps that are visited on one day, each once or twice."""
    weekday = (until - timedelta(days=ago)).weekday()
    settled = 0.35 + (0.65 * exp(-(who.joined - ago) / 12) if who.is_new else 0)
    visited = [who.apps[0]] if certain else []
    for rank, app in enumerate(who.apps):
        expected = who.keenness * settled * app.week[weekday] / (rank + 1) * 1.9
        visited += [app] * (int(expected) + (random.random() < expected % 1))
    return visited


def _start(random: Random, until: datetime, ago: int, utc_offset: int) -> datetime | None:
    """When a visit on that day begins; None where that is still to come."""
    hour = random.choices(range(24), cum_weights=_HOURS)[0] - utc_offset
    midnight = datetime(until.year, until.month, until.day, tzinfo=UTC) - timedelta(days=ago)
    start = midnight + timedelta(hours=hour, milliseconds=random.randrange(3_600_000))
    return start if start < until - _LONGEST_VISIT else None


def _visit(
    random: Random,
    told: History,
    app: DemoApp,
    start: datetime,
    ago: int,
    *,
    joined: bool,
    seed: str,
) -> None:
    """One visit: an arrival, what is done, and what goes wrong."""
    session = f"{seed}-{len(told.events)}"
    platform = random.choice(PLATFORMS)
    more = {"anonymousId": f"device-{seed}"} if joined else {}
    told.add(
        app.id, "session_started", "engagement", {"platform": platform}, session, start, **more
    )
    told.activities.append((app.id, "login", {"platform": platform}, session, start))
    if joined:
        told.add(
            app.id,
            "signup",
            "conversion",
            {"platform": platform},
            session,
            start + timedelta(seconds=9),
            **more,
        )
    bad = app.id == BAD_APP and ago == BAD_DAY
    moment = start + timedelta(seconds=10)
    for happening in random.choices(
        app.happenings, cum_weights=_WEIGHTS[app.id], k=random.choice((1, 2, 2, 3, 4, 6))
    ):
        moment += timedelta(milliseconds=random.randrange(2_000, 180_000))
        if not (bad and happening.category == "conversion"):
            _happens(told, app, happening, session, moment, {"item": random.choice(app.words)})
    if random.random() < (_FAILURES_ON_BAD_DAY if bad else _FAILURES):
        _fails(random, told, app, session, moment, times=random.randint(2, 5) if bad else 1)


def _happens(
    told: History, app: DemoApp, happening: Happening, session: str, moment: datetime, data: Json
) -> None:
    told.add(app.id, happening.name, happening.category, data, session, moment)
    if happening.activity:
        told.activities.append((app.id, happening.name, data, session, moment))


def _fails(
    random: Random, told: History, app: DemoApp, session: str, moment: datetime, *, times: int
) -> None:
    for attempt in range(times):
        data = {"reason": random.choice(("timeout", "timeout", "refused")), "attempt": attempt + 1}
        told.add(
            app.id,
            app.failure,
            "error",
            data,
            session,
            moment + timedelta(seconds=20 * attempt + 5),
        )
