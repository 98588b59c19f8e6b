"""`python -m scripts integrity`: looks at every relation for orphans and references across tenants,
and mends them."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Any

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.relations import audit
from app.relations.audit import Fault
from app.relations.living_roots import LABEL, check_living
from app.relations.merging.circles import FOLLOWED, check_merges, label_of
from app.relations.unreadable import READ, check_rows
from app.work import HOOKS
from models.deletion import Deletion
from models.integrity import IntegrityScan, LostScan
from models.relations import RELATIONS, Relation
from scripts.tables import table
from scripts.target import NoTargetError, opened

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Check every relation, and mend what is wrong."
)


@cli.command()
def check(
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where a check was cut short.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Scan every relation for orphans and references across tenants, read what the worker goes by,
    and look for what lives though it was deleted, and for merges that lead nowhere.

    Goes on where it was cut short.

    Exits 1 where there are faults. `GET /v1/admin/integrity` shows the result.
    """
    scans = _run(_check(restart))
    if as_json:
        typer.echo(
            json.dumps(
                [scan.model_dump(mode="json", by_alias=True, fallback=str) for scan in scans],
                indent=2,
            )
        )
    else:
        Console(markup=False).print(_table(scans))
    if any(scan.orphans or scan.mismatches or scan.unreadable or scan.living for scan in scans):
        raise typer.Exit(1)


@cli.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Show what is wrong now and what the policies say, ask, and do it. What no policy mends is
    left, and exits 1."""
    found = _run(_survey())
    if not found:
        typer.echo("Every reference leads to a parent of the same tenant.")
        return
    for (label, kind, remedy), count in sorted(found.items()):
        typer.echo(
            f"{label}: {count:,} {kind}{'' if count == 1 else 's'}: {remedy or 'left to you'}"
        )
    if not yes:
        typer.confirm("Do this?", abort=True)
    mended = _run(_repair())
    typer.echo(f"{mended:,} documents were deleted or changed.")
    if any(not remedy for _, _, remedy in found):
        raise typer.Exit(1)


async def _check(restart: bool) -> list[IntegrityScan]:
    async with opened():
        with _bar() as bar:
            tasks: dict[str, Any] = {}
            for relation in RELATIONS:
                total = await relation.child.raw().estimated_document_count()
                scan = (
                    None if restart else await IntegrityScan.raw().find_one({"_id": relation.label})
                )
                done = scan["scanned"] if scan and scan["state"] == "running" else 0
                tasks[relation.label] = bar.add_task(relation.label, total=total, completed=done)

            labels = {document.collection_name(): document for document in READ}
            labels |= {label_of(document): document for document, _ in FOLLOWED} | {LABEL: Deletion}
            for label, document in labels.items():
                total = await document.raw().estimated_document_count()
                tasks[label] = bar.add_task(label, total=total)

            def seen(relation: Relation, count: int) -> None:
                bar.advance(tasks[relation.label], count)

            def read(label: str, count: int) -> None:
                bar.advance(tasks[label], count)

            relations = await audit.check(restart=restart, progress=seen)
            found = [*relations, *await check_rows(read), await check_living(read)]
            return [*found, *await check_merges(read)]


async def _survey() -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    async with opened():
        with Console(stderr=True).status("looking at every relation"):
            for relation in RELATIONS:
                async for faults in audit.faults_of(relation):
                    found.update(map(_line, faults))
    return found


async def _repair() -> int:
    mended = 0
    async with opened():
        with _bar() as bar:
            for relation in RELATIONS:
                task = bar.add_task(f"mending {relation.label}", total=None)
                async for faults in audit.faults_of(relation):
                    mended += await audit.repair(faults, "integrity", HOOKS)
                    bar.advance(task, len(faults))
    return mended


def _line(fault: Fault) -> tuple[str, str, str]:
    return fault.relation.label, fault.kind.value, audit.remedy(fault)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _table(scans: list[IntegrityScan]) -> Table:
    headings = ("scanned", "orphans", "of another tenant", "to be swept", "unreadable", "alive")
    shown = table("Integrity", ["relation"], headings)
    for scan in scans:
        wrong = (scan.orphans, scan.mismatches, scan.pending, scan.unreadable, scan.living)
        counts = (scan.scanned, *wrong)
        shown.add_row(scan.id, *(f"{count:,}" for count in counts))
    return shown


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except LostScan:
        typer.echo("Another check has taken this one over and goes on with it.", err=True)
        raise typer.Exit(1) from None
    except (NoTargetError, PyMongoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
