"""The people of the demo: who they are and what they keep, each decided by the seed and their
number alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from scripts.demo.catalogue import (
    ACCOUNT_ROLES,
    APPS,
    BIOS,
    FAMILY,
    GIVEN,
    LANGUAGES,
    PLACES,
    WIDGETS,
    DemoApp,
)

Json = dict[str, Any]

_OLD_HANDS: Final = 0.45


@dataclass(slots=True)
class Person:
    """Someone with an account.

    Attributes:
        number: counts from 0.
        joined: days ago.
        is_new: whether that is within the days of the demo.
        keenness: visits a day, in the best week.
        utc_offset: hours.
        apps: those that they use.
        user: body of `POST /v1/users`.
        random: decides everything else about them.
    """

    number: int
    seed: int
    joined: float
    is_new: bool
    keenness: float
    utc_offset: int
    apps: list[DemoApp]
    user: Json
    random: Random = field(repr=False)

    @property
    def email(self) -> str:
        """The canonical email: how a second run finds them."""
        return str(self.user["email"])


@dataclass(frozen=True, slots=True)
class Keeping:
    """A value in an app's data: its versions one after the other, and whether it was deleted in the
    end."""

    app_id: str
    key: str
    versions: list[Json]
    deleted: bool = False


def person(seed: int, number: int, days: int) -> Person:
    """The person with this number."""
    random = Random(f"{seed}:{number}")
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    city = random.choices(PLACES, [place[2] for place in PLACES])[0]
    is_new = random.random() > _OLD_HANDS
    count = random.choices((1, 2, 3, 4), (46, 34, 15, 5))[0]
    return Person(
        number=number,
        seed=seed,
        joined=days * (1 - random.random() ** 0.7) if is_new else random.uniform(days, 5 * days),
        is_new=is_new,
        keenness=min(1.2, random.lognormvariate(-1.88, 0.8)),
        utc_offset=city[1],
        apps=_chosen_apps(random, count),
        user=_user(random, number, given, family),
        random=random,
    )


def _chosen_apps(random: Random, count: int) -> list[DemoApp]:
    chosen: list[DemoApp] = []
    while len(chosen) < count:
        app = random.choices(APPS, [app.share for app in APPS])[0]
        if app not in chosen:
            chosen.append(app)
    return chosen


def _user(random: Random, number: int, given: str, family: str) -> Json:
    user: Json = {
        "email": f"{given}.{family}.{number}@example.com".lower(),
        "name": f"{given} {family}",
    }
    if random.random() < 0.25:
        user["valuUserId"] = f"valu-{100000 + number}"
    if random.random() < 0.18:
        user["merkosUserId"] = f"merkos-{700000 + number}"
    if random.random() < 0.4:
        user["role"] = random.choices(ACCOUNT_ROLES, (60, 15, 10, 15))[0]
    if random.random() < 0.02:
        user["roles"] = ["user", "moderator"]
        user["permissions"] = ["content:hide"]
    return user


def profile(who: Person) -> Json | None:
    """What they made of their profile; None for those who never looked at it."""
    random = Random(f"{who.seed}:{who.number}:profile")
    if random.random() > 0.4:
        return None
    picture = f"https://images.example.com/{who.number}"
    return {
        "displayName": random.choice((who.user["name"], who.user["name"].split()[0])),
        "bio": random.choice(BIOS),
        "avatar": {"url": f"{picture}.jpg", "thumbnailUrl": f"{picture}-64.jpg"},
        "metadata": {"city": next(city for city, offset, _ in PLACES if offset == who.utc_offset)},
    }


def preferences(who: Person) -> Json | None:
    """Their preferences; None for those who left everything as it was."""
    random = Random(f"{who.seed}:{who.number}:preferences")
    if random.random() > 0.3:
        return None
    widgets = random.sample(WIDGETS, 4)
    return {
        "theme": random.choice(("light", "dark", "dark", "auto")),
        "language": random.choice(LANGUAGES),
        "notifications": {
            "email": random.random() < 0.5,
            "push": random.random() < 0.7,
            "inApp": True,
        },
        "widgets": {
            "enabled": widgets[:3],
            "disabled": widgets[3:],
            "customizations": {widgets[0]: {"size": "wide"}},
        },
        "dashboard": {
            "layout": random.choice(("grid", "list")),
            "favoriteApps": [app.id for app in who.apps],
        },
    }


def keepings(who: Person) -> Iterator[Keeping]:
    """What the apps keep for them: settings, drafts, progress."""
    random = Random(f"{who.seed}:{who.number}:data")
    for app in who.apps:
        if random.random() < 0.55:
            sizes = random.sample((12, 14, 16, 18), random.choice((1, 1, 1, 2)))
            yield Keeping(
                app.id,
                "settings",
                [{"fontSize": size, "sounds": random.random() < 0.5} for size in sizes],
            )
        if app.drafts is None:
            yield _progress(random, app)
        elif random.random() < 0.35:
            yield _draft(random, app)


def _draft(random: Random, app: DemoApp) -> Keeping:
    title, number = random.choice(app.words), random.randrange(1, 40)
    texts = ["", " Then a second thought.", " And a third, better than both."][
        : random.choices((1, 2, 3), (6, 3, 1))[0]
    ]
    versions: list[Json] = [
        {
            "title": title,
            "text": f"About {title}." + "".join(texts[: index + 1]),
            "pinned": index > 0,
        }
        for index in range(len(texts))
    ]
    return Keeping(app.id, f"{app.drafts}:{number}", versions, deleted=random.random() < 0.12)


def _progress(random: Random, app: DemoApp) -> Keeping:
    steps = random.choices((1, 2, 3, 5), (5, 3, 2, 1))[0]
    versions: list[Json] = [
        {"lesson": app.words[index], "completed": index, "score": random.randrange(50, 101)}
        for index in range(steps)
    ]
    return Keeping(app.id, "progress", versions)
