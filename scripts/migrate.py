"""`python -m scripts migrate`: takes the steps that a database has not taken yet, forward only,
under a lease."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

import typer
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from rich.console import Console

from app import migrations
from app.jobs import UNREADABLE, Claim, LostClaim, claim_now
from app.jobs.periodic import ensure_periodic
from app.migrations.step import StepRefused
from models.base import Raw, now
from models.job import Job
from models.migration import Migration
from scripts.target import NoTargetError, opened

_KIND: Final = "migrate"
_NOTHING: Final = "This database has taken every step."


class Busy(Exception):
    """Another process is taking steps in this database, or it cannot be told whether one is."""


def migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what each step would change. Changes nothing.")
    ] = False,
) -> None:
    """Take the steps that this database has not taken yet, in their order. `make run` does so by
    itself."""
    try:
        asyncio.run(_migrate(dry_run))
    except (NoTargetError, PyMongoError, StepRefused, Busy, LostClaim) as error:
        typer.echo(str(error) or "another process took over", err=True)
        raise typer.Exit(1) from None


async def _migrate(dry_run: bool) -> None:
    async with opened() as database:
        if dry_run:
            steps = await plan(database)
            for name, summary, count in steps:
                typer.echo(f"{name}: {count:,} to change. {summary}")
            if not steps:
                typer.echo(_NOTHING)
            return
        with Console(stderr=True).status("taking steps") as status:
            taken = await take_steps(database, lambda name: status.update(f"taking {name}"))
        for name, changed in taken:
            typer.echo(f"{name}: {changed:,} changed")
        if not taken:
            typer.echo(_NOTHING)


async def plan(database: AsyncDatabase[Raw]) -> list[tuple[str, str, int]]:
    """The steps that are still to be taken: name, what it is for, how many documents it would
    change."""
    applied = await Migration.find_applied()
    ahead = [step for step in migrations.STEPS if migrations.name_of(step) not in applied]
    return [
        (
            migrations.name_of(step),
            " ".join((step.__doc__ or "").partition("\n\n")[0].split()),
            await step.count(database),
        )
        for step in ahead
    ]


async def take_steps(
    database: AsyncDatabase[Raw], tell: Callable[[str], None] | None = None
) -> list[tuple[str, int]]:
    """Take the steps that are still to be taken, under a lease, so that no two processes do.

    A step that was cut short is taken again from its beginning: each is idempotent.

    Returns:
        The steps that were taken, and how many documents each changed.

    Raises:
        Busy: another process is at it.
        StepRefused: a step cannot be taken with the data as it is; those before it are taken.
    """
    if not await migrations.pending():
        return []
    held = await _hold()
    try:
        taken = []
        applied = await Migration.find_applied()
        for step in migrations.STEPS:
            name = migrations.name_of(step)
            if name in applied:
                continue
            if tell is not None:
                tell(name)
            await held.renew(step=name)
            changed = await step.apply(database, held)
            await held.renew(step=name)
            await Migration.note(name, changed)
            taken.append((name, changed))
        return taken
    finally:
        await held.finish()


async def _hold() -> Claim:
    await ensure_periodic(_KIND, _KIND, every_seconds=0)
    # a measurement may put the clock back: a fresh job lies ahead of it by an instant
    held = await claim_now(_KIND)
    if held is None:
        row = await Job.raw().find_one({"_id": _KIND}) or {}
        raise Busy(_waits_for(row))
    return held


def _waits_for(row: Raw) -> str:
    """Who has the lease, and when it ends where they have died: nobody can know that before. Or
    that nobody can have it."""
    if row.get("lastError") == UNREADABLE:
        return f"the row `{_KIND}` of `jobs` is damaged: remove it, and try again"
    holder, until = row.get("leasedBy", "unknown"), row.get("leasedUntil")
    said = f"another process is taking steps: {holder}"
    if not isinstance(until, datetime):
        return said
    seconds = max(1, round((until - now()).total_seconds()))
    return f"{said}; if it has died, its lease ends in {seconds} s: try again then"
