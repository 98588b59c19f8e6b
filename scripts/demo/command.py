"""The command line of the demo: options, progress, and what to look at afterwards."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from app.settings import Settings, load_settings
from models.base import now
from scripts.address import reachable
from scripts.admin_key import KEY_FILE
from scripts.demo.api import DemoError, connected
from scripts.demo.catalogue import BAD_APP, BAD_DAY
from scripts.demo.fill import AT_WORK, Filler, Plan
from scripts.demo.people import person
from scripts.target import NoTargetError, opened

COUNTED: Final = ("people", "strangers", "values", "events", "activities")


def demo(
    users: Annotated[int, typer.Option(min=1, max=100_000, help="People with an account.")] = 3000,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days of activity and events.")] = 90,
    seed: Annotated[int, typer.Option(help="The same seed makes the same people.")] = 7,
    url: Annotated[
        str | None,
        typer.Option(help="Where Satchel runs; SATCHEL_HOST and SATCHEL_PORT if absent."),
    ] = None,
) -> None:
    """Fill a running Satchel with a believable data set. A second run adds nothing twice. Exits 1
    where that failed."""
    settings = load_settings()
    address = url or f"http://{reachable(settings.host)}:{settings.port}"
    plan = Plan(users, days, seed, now())
    try:
        asyncio.run(_demo(settings, address.rstrip("/"), plan))
    except (DemoError, NoTargetError, PyMongoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _demo(settings: Settings, url: str, plan: Plan) -> None:
    key = _admin_key(settings.data_dir)
    console = Console(highlight=False, soft_wrap=True)
    async with opened(settings), connected(url, key, AT_WORK) as api:
        bars = _Bars(plan)
        filler = Filler(api, plan, bars.more)
        await filler.check()
        if await filler.is_filled():
            console.print("This Satchel is filled already; nothing was added.", style="bold")
        else:
            with bars.progress:
                await filler.fill()
            console.print(bars.summary(), style="bold green")
    _show(console, settings, url, plan)


def _admin_key(data_dir: Path) -> str:
    path = data_dir / KEY_FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise DemoError(
            f"There is no {path}: start Satchel with `make run`, or set SATCHEL_DATA_DIR."
        ) from None


class _Rate(ProgressColumn):
    """So many a second."""

    def render(self, task: Task) -> Text:
        """The rate of one bar."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class _Bars:
    """Bars for those whose number is known, counters for what is stored for them."""

    def __init__(self, plan: Plan) -> None:
        text = TextColumn("{task.description:<11}")
        columns = (text, BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True))
        self._started = time.monotonic()
        known = {"people": plan.users, "strangers": plan.strangers}
        self._tasks = {
            name: self.progress.add_task(name, total=known.get(name)) for name in COUNTED
        }

    def more(self, what: str, count: int) -> None:
        """So many more are stored."""
        self.progress.advance(self._tasks[what], count)

    def summary(self) -> str:
        """What was stored, and how long it took."""
        done = {
            task.description: f"{task.completed:,.0f} {task.description}"
            for task in self.progress.tasks
        }
        return f"Stored {', '.join(done.values())} in {time.monotonic() - self._started:.0f} s."


def _show(console: Console, settings: Settings, url: str, plan: Plan) -> None:
    """Two things to look at."""
    key = f"$(cat {settings.data_dir / KEY_FILE})"
    bad_day = (plan.until - timedelta(days=BAD_DAY)).date()
    span = f"from={bad_day}T00:00:00Z&to={bad_day + timedelta(days=1)}T00:00:00Z"
    email = person(plan.seed, 0, plan.days).email
    console.print("What happened in 30 days, and on the day when Boat Share could take no money:")
    console.print(f'  curl -H "Authorization: Bearer {key}" "{url}/v1/analytics/event-counts"')
    if plan.days > BAD_DAY:
        query = f"appId={BAD_APP}&{span}"
        console.print(
            f'  curl -H "Authorization: Bearer {key}" "{url}/v1/analytics/category-counts?{query}"'
        )
    console.print("Somebody:")
    console.print(f'  curl -H "Authorization: Bearer {key}" "{url}/v1/users?email={email}"')
