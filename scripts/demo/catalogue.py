"""What the demo's world is made of: apps and what happens in them and when, names, cities."""

from dataclasses import dataclass
from typing import Final

from models.analytics import EventCategory


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens in an app: an event, an activity of the same name for a person who is
    known, or both."""

    name: str
    category: EventCategory
    weight: int
    activity: bool = True


@dataclass(frozen=True, slots=True)
class DemoApp:
    """A client app.

    Attributes:
        id: its `appId`.
        name: as people call it.
        share: how much of the visits are its own.
        require_version: its setting of that name.
        happenings: what a visit consists of, by weight.
        week: how much goes on from Monday to Sunday.
        failure: the event of something going wrong.
        drafts: the stem of its draft keys, None for an app without drafts.
        words: what its drafts are about.
    """

    id: str
    name: str
    share: int
    require_version: bool
    happenings: tuple[Happening, ...]
    week: tuple[float, ...]
    failure: str
    drafts: str | None
    words: tuple[str, ...]


APPS: Final = (
    DemoApp(
        "notes",
        "Field Notes",
        share=42,
        require_version=False,
        happenings=(
            Happening("note_viewed", "engagement", 44),
            Happening("note_edited", "engagement", 26),
            Happening("note_created", "conversion", 11),
            Happening("search", "engagement", 9, activity=False),
            Happening("note_shared", "conversion", 5),
            Happening("editor_toggled", "custom", 5, activity=False),
        ),
        week=(1.15, 1.2, 1.15, 1.1, 0.95, 0.45, 0.6),
        failure="save_failed",
        drafts="draft",
        words=(
            "garden",
            "meeting",
            "reading list",
            "ideas",
            "travel",
            "budget",
            "letter to Ann",
            "week plan",
        ),
    ),
    DemoApp(
        "boats",
        "Boat Share",
        share=21,
        require_version=False,
        happenings=(
            Happening("boat_viewed", "engagement", 46, activity=False),
            Happening("calendar_opened", "engagement", 22),
            Happening("boat_booked", "conversion", 8),
            Happening("booking_cancelled", "conversion", 2),
            Happening("map_moved", "custom", 22, activity=False),
        ),
        week=(0.5, 0.5, 0.6, 0.9, 1.5, 1.8, 1.3),
        failure="payment_failed",
        drafts="booking",
        words=("Lady of the Lake", "Otter", "Blue Heron", "Marguerite", "Sturgeon", "Half Moon"),
    ),
    DemoApp(
        "recipes",
        "Supper Club",
        share=26,
        require_version=False,
        happenings=(
            Happening("recipe_viewed", "engagement", 48, activity=False),
            Happening("recipe_cooked", "conversion", 12),
            Happening("list_checked", "engagement", 18),
            Happening("recipe_saved", "conversion", 10),
            Happening("timer_started", "custom", 12, activity=False),
        ),
        week=(0.8, 0.8, 0.85, 1.1, 1.35, 0.7, 1.4),
        failure="import_failed",
        drafts="recipe",
        words=(
            "leek soup",
            "dumplings",
            "plum cake",
            "black beans",
            "challah",
            "saffron rice",
            "pickles",
        ),
    ),
    DemoApp(
        "cteen",
        "CTeen Network",
        share=11,
        require_version=True,
        happenings=(
            Happening("lesson_opened", "engagement", 40),
            Happening("lesson_completed", "conversion", 20),
            Happening("quiz_answered", "engagement", 25),
            Happening("badge_earned", "conversion", 5),
            Happening("video_paused", "custom", 10, activity=False),
        ),
        week=(1.1, 1.1, 1.1, 1.0, 0.5, 0.02, 1.8),
        failure="video_stalled",
        drafts=None,
        words=("week 1", "week 2", "week 3", "week 4", "week 5", "week 6"),
    ),
)
"""The apps; the first is the one that the closing examples show."""

BAD_DAY: Final = 23
"""So many days ago `boats` had an outage: bookings failed from morning to evening."""
BAD_APP: Final = "boats"

HOURS: Final = (
    2,
    1,
    1,
    1,
    1,
    3,
    8,
    16,
    24,
    28,
    26,
    24,
    25,
    24,
    22,
    22,
    23,
    26,
    30,
    34,
    36,
    30,
    18,
    7,
)
"""How much goes on in each hour of a local day."""

PLATFORMS: Final = ("web", "web", "web", "ios", "ios", "android")

GIVEN: Final = (  # noqa: SIM905  # readable as it stands
    "Ada Amos Ana Anton Aisha Ben Bela Carla Chaim Chen Clara Dana David Dov Elena Eli Emma Esther"
    " Fatima Felix Grace Hana Hugo Ida Ines Isaac Ivan Jana Jonas Kofi Lena Leo Levi Lior Luca Mara"
    " Maya Mendel Mila Miriam Moshe Nadia Nia Noah Noor Omar Oskar Paula Priya Rafael Rivka Rosa"
    " Ruth Samir Sara Shira Sofia Tamar Theo Tomas Uma Vera Wei Yael Yosef Zara"
).split()
FAMILY: Final = (  # noqa: SIM905
    "Abara Adler Bakker Baum Becker Bianchi Bloom Brandt Castro Chen Cohen Costa Diaz Dubois"
    " Eriksen Farkas Fischer Garcia Gold Gruber Haddad Hansen Horvat Ivanov Jansen Kaplan Katz Khan"
    " Kim Klein Kovacs Kowalski Larsen Levin Lopez Lund Mensah Meyer Moreau Nagy Nakamura Novak"
    " Nowak Okafor Olsen Park Patel Peretz Petrov Popescu Reyes Ricci Rosen Rossi Santos Sato"
    " Shapiro Silva Singh Stern Tanaka Weiss Wolf Yilmaz Zhang Zimmer"
).split()
PLACES: Final = (
    ("New York", -5, 5),
    ("London", 0, 3),
    ("Berlin", 1, 3),
    ("Jerusalem", 2, 3),
    ("Melbourne", 10, 1),
)
"""City, hours from UTC, weight."""
LANGUAGES: Final = ("en", "en", "en", "en-GB", "he", "de", "es", "fr", "pt-BR", "yi")
BIOS: Final = (
    "Reads more than is good for the shelves.",
    "Sails on Sundays, fixes the boat on Mondays.",
    "Cooks for six, eats for two.",
    "Teacher, runner, collector of maps.",
    "New here. Be kind.",
    "Third-generation baker.",
)
WIDGETS: Final = ("calendar", "weather", "tasks", "news", "clock", "recent", "goals")
ACCOUNT_ROLES: Final = ("creator", "brand", "agency", "gifter")
