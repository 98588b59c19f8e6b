"""`python -m scripts indexes`: plan, apply and verify the table of indexes, and see how they are
used."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic.alias_generators import to_camel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from indexes import stats as usage_stats
from indexes import sync
from indexes.duplicates import DuplicatesFound
from indexes.findings import Finding, Kind, Plan
from models.base import Raw
from scripts.tables import table
from scripts.target import NoTargetError, opened

T = TypeVar("T")

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Plan, apply and verify the table of indexes."
)

Lean = Annotated[
    bool,
    typer.Option(
        "--lean",
        envvar="SATCHEL_LEAN_INDEXES",
        help="Do without indexes that no operation needs.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_MENDED_BY: Final = {
    Kind.MISSING: "apply",
    Kind.TTL: "apply",
    Kind.CHANGED: "apply --replace",
    Kind.UNKNOWN: "apply --prune",
    Kind.REDUNDANT: "apply --lean --prune",
}
_WATCH_SECONDS: Final = 1.0
_NO_DRIFT: Final = "The database has exactly the indexes that it should have."


@cli.command()
def plan(lean: Lean = False, as_json: AsJson = False) -> None:
    """Show what is missing, changed, unknown and redundant. Changes nothing; exits 0."""
    findings = _run(_plan(lean)).findings
    _print_json(map(_row, findings)) if as_json else _print_findings(findings)


@cli.command()
def apply(
    lean: Lean = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace indexes whose definition differs.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop unknown indexes; with --lean, redundant ones.")
    ] = False,
) -> None:
    """Build what is missing, change expiry times, and with the options replace and drop. Exits 1
    where that failed.

    Where documents stand in the way of a unique index, says which, and changes nothing.
    """
    try:
        mended, left = _run(_apply(lean, replace, prune))
    except DuplicatesFound as found:
        typer.echo(f"Nothing was changed where documents are in the way.\n{found}", err=True)
        raise typer.Exit(1) from None
    for finding in mended:
        typer.echo(f"done: {finding.collection}.{finding.name} ({finding.kind.value})")
    for finding in left:
        typer.echo(f"left: {finding} (`{_MENDED_BY[finding.kind]}`)")
    asked = {
        Kind.MISSING,
        Kind.TTL,
        *([Kind.CHANGED] if replace else []),
        *([Kind.UNKNOWN] if prune else []),
    }
    if any(finding.kind in asked for finding in left):
        raise typer.Exit(1)
    typer.echo("Everything asked for is done." if left else _NO_DRIFT)


@cli.command()
def verify(lean: Lean = False, as_json: AsJson = False) -> None:
    """Compare the database with the table. Exits 1 where they differ."""
    drift = _run(_plan(lean)).drift
    if as_json:
        _print_json(map(_row, drift))
    else:
        for finding in drift:
            typer.echo(str(finding))
        if not drift:
            typer.echo("Every index of the table is there.")
    if drift:
        raise typer.Exit(1)


@cli.command()
def stats(
    profile: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Switch the profiler on for this long."),
    ] = None,
    slow_ms: Annotated[
        int, typer.Option(min=0, help="With --profile: note operations that take this long.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Show use and size of each index, and the slow operations that MongoDB's profiler has noted,
    without values."""
    uses, slow = _run(_stats(profile, slow_ms))
    if as_json:
        _print_json(
            {
                "indexes": [_camel(asdict(use)) for use in uses],
                "slow": [_camel(asdict(row)) for row in slow],
            }
        )
        return
    console = Console(markup=False)
    console.print(_usage_table(uses))
    if slow:
        console.print(_slow_table(slow))
    elif profile is not None:
        console.print(f"No operation took {slow_ms} ms.")


async def _plan(lean: bool) -> Plan:
    async with opened() as database:
        return await sync.plan(database, lean=lean)


async def _apply(lean: bool, replace: bool, prune: bool) -> tuple[list[Finding], list[Finding]]:
    """What was mended, and what drift is left."""
    async with opened() as database:
        planned = await sync.plan(database, lean=lean)
        with _bar() as bar:
            steps = bar.add_task("indexes", total=None)

            def show(done: int, total: int, what: str) -> None:
                bar.update(steps, completed=done, total=total, description=what)

            watch = asyncio.create_task(_watch(database, bar))
            try:
                mended = await sync.apply(
                    database, planned, replace=replace, prune=prune, progress=show
                )
            finally:
                watch.cancel()
        return mended, (await sync.plan(database, lean=lean)).drift


async def _watch(database: AsyncDatabase[Raw], bar: Progress) -> None:
    """Show how far each build is that takes longer than a second."""
    tasks: dict[str, Any] = {}
    with suppress(
        OperationFailure
    ):  # a user who may build indexes need not be one who may look at operations
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for build in await usage_stats.builds(database):
                task = tasks.setdefault(build.collection, None)
                if task is None:
                    task = tasks[build.collection] = bar.add_task(
                        f"  documents of {build.collection}"
                    )
                bar.update(task, completed=build.done, total=build.total)


async def _stats(
    seconds: float | None, slow_ms: int
) -> tuple[list[usage_stats.Usage], list[usage_stats.SlowOperation]]:
    async with opened() as database:
        if seconds is None:
            return await usage_stats.usage(database), await usage_stats.slow_operations(database)
        with Console(stderr=True).status(
            f"profiling for {seconds:g} s: operations of {slow_ms} ms and more"
        ):
            slow = await usage_stats.profile(database, seconds, slow_ms)
        return await usage_stats.usage(database), slow


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (NoTargetError, PyMongoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _row(finding: Finding) -> Raw:
    return {
        "kind": finding.kind.value,
        "collection": finding.collection,
        "name": finding.name,
        "detail": str(finding),
        "coveredBy": finding.covered_by,
        "serves": finding.index.serves if finding.index else None,
        "mendedBy": _MENDED_BY[finding.kind],
    }


def _camel(row: Raw) -> Raw:
    return {to_camel(name): value for name, value in row.items()}


def _print_json(value: Iterable[Raw] | Raw) -> None:
    typer.echo(json.dumps(value if isinstance(value, dict) else list(value), default=str, indent=2))


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        typer.echo(_NO_DRIFT)
        return
    shown = table("Indexes", ["", "index", "serves", "mended by"])
    for finding in findings:
        serves = finding.index.serves if finding.index else ""
        shown.add_row(finding.kind.value, str(finding), serves, _MENDED_BY[finding.kind])
    Console(markup=False).print(shown)


def _note(use: usage_stats.Usage) -> str:
    if use.spare:
        return f"{use.serves} (no operation needs it)"
    if use.covered_by:
        return f"{use.serves} (prefix of {use.covered_by})"
    return use.serves or "in no table"


def _usage_table(uses: Sequence[usage_stats.Usage]) -> Table:
    shown = table("Use of indexes", ["collection", "index", "uses", "since", "KiB", "serves"])
    for use in uses:
        note = _note(use)
        since = f"{use.since:%Y-%m-%d %H:%M}"
        shown.add_row(
            use.collection, use.name, f"{use.uses:,}", since, f"{use.bytes / 1024:,.0f}", note
        )
    return shown


def _slow_table(slow: Sequence[usage_stats.SlowOperation]) -> Table:
    headings = ("collection", "operation", "plan", "count", "slowest ms", "examined / returned")
    shown = table("Slow operations", headings)
    for row in slow:
        plan_ = f"{row.plan}, sorted in memory" if row.sorted_in_memory else row.plan
        ratio = f"{row.docs_examined:,} / {row.returned:,}"
        shown.add_row(
            row.collection, row.shape, plan_, f"{row.count:,}", f"{row.slowest_ms:,}", ratio
        )
    return shown
