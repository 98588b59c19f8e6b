"""`python -m scripts users import`: people in from a file, with a bar, a report, and a place to go
on from."""

import asyncio
import csv
import json
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.database.turns import AlwaysOvertaken
from app.settings import Settings, load_settings
from scripts.target import NoTargetError, opened, reason

if TYPE_CHECKING:
    from app.people.importing import Importer

OUTCOMES: Final = ("created", "updated", "unchanged", "conflict", "invalid")
_TOGETHER: Final = 500
_LINE: Final = 4 * 1024 * 1024
"""Bytes of a cell at most, and of the lines that are written together."""

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="Bring people in.")


@cli.callback()
def _users() -> None:
    """Bring people in."""


@cli.command(name="import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help=".csv, or NDJSON.")
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=FIELD", help="Of a CSV; several times."),
    ] = None,
    verified: Annotated[
        str, typer.Option(help="Of a CSV: what is vouched for, such as email,phone.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin anew, wherever an earlier run stopped.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create or update a person for each line of a file.

    A run that was stopped goes on where it was. Lines that were refused are in `FILE.refused`, with
    what is wrong. Exits 1 where there are any.
    """
    settings = load_settings()
    try:
        source = _Source(file, _pairs(mapping or []), verified)
        done = asyncio.run(_import(settings, source, again, dry_run))
    except (NoTargetError, PyMongoError, AlwaysOvertaken, ValueError, csv.Error) as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None
    if source.left_out:
        names = ", ".join(map(repr, source.left_out))
        typer.echo(f"left out, for want of a --map: {names}", err=True)
    if as_json:
        told = {"dryRun": dry_run, "after": done.begun, "leftOut": source.left_out}
        typer.echo(json.dumps({**done.counts, **told}))
    else:
        typer.echo(done.summary(file, dry_run))
    if done.refused:
        raise typer.Exit(1)


def _pairs(mapping: list[str]) -> dict[str, str]:
    found = {}
    for each in mapping:
        column, is_pair, name = each.rpartition("=")
        if not is_pair:
            raise typer.BadParameter(f"{each}: write COLUMN=FIELD", param_hint="--map")
        found[column] = name
    return found


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a row of a table, which is no line then."""

    detail: str


_Line = tuple[int, bytes | _Fault]
"""Number and text."""


class _Source:
    """The lines of a file, each as NDJSON, with its number and how far into the file it is.

    Attributes:
        left_out: columns of a table that are no field.
    """

    def __init__(self, file: Path, mapping: dict[str, str], verified: str) -> None:
        self.file, self.size = file, file.stat().st_size
        self.left_out: list[str] = []
        self._mapping = mapping
        self._verified = [name.strip() for name in verified.split(",") if name.strip()]
        if wrong := set(self._verified) - {"email", "phone"}:
            raise typer.BadParameter(f"{', '.join(sorted(wrong))} cannot be vouched for")

    @property
    def stamp(self) -> str:
        """By which the file, read in this way, is known again."""
        stat, way = self.file.stat(), json.dumps([self._mapping, sorted(self._verified)])
        return f"{stat.st_size} {stat.st_mtime_ns} {sha256(way.encode()).hexdigest()[:16]}"

    def lines(self) -> Iterator[tuple[_Line, int]]:
        """Each with the bytes of the file up to its end.

        Raises:
            ValueError: the file is none that can be read.
        """
        try:
            yield from self._rows() if self.file.suffix.lower() == ".csv" else self._ndjson()
        except UnicodeDecodeError:
            raise ValueError(f"{self.file} is not UTF-8: save it as such") from None

    def _ndjson(self) -> Iterator[tuple[_Line, int]]:
        with self.file.open("rb") as stream:
            for number, text in enumerate(stream, 1):
                line = text.removeprefix(BOM_UTF8) if number == 1 else text
                if line.strip():
                    yield (number, line.rstrip(b"\r\n")), stream.tell()

    def _rows(self) -> Iterator[tuple[_Line, int]]:
        from app.people.tables import columns_of, line_of  # noqa: PLC0415  # slow imports

        csv.field_size_limit(_LINE)  # by itself it takes 128 KiB, a value has up to 512
        with self.file.open("r", newline="", encoding="utf-8-sig") as stream:
            raw: Any = stream.buffer
            heading = stream.readline()
            lines = chain([heading], iter(stream.readline, ""))
            table = csv.DictReader(lines, delimiter=max(_SEPARATORS, key=heading.count))
            names = table.fieldnames or []
            columns = columns_of(names, self._mapping)
            if not columns:
                raise ValueError(f"no column of {self.file} is a field: name them by --map")
            self.left_out = [name for name in names if name not in columns]
            for row in table:
                line = json.dumps(line_of(row, columns, self._verified)).encode()
                beyond = table.restkey in row  # a separator that is not quoted has shifted the rest
                yield (table.line_num, _BEYOND if beyond else line), raw.tell()


_SEPARATORS: Final = (",", ";", "\t")
"""Of a table it is the one that is in its heading."""
_BEYOND: Final = _Fault("the row has more cells than the table has columns")


@dataclass
class _Progress:
    """How far a file is imported, beside the file, so that another run goes on from there.

    Attributes:
        path: where it is kept; `refusals` likewise of lines that were refused.
        stamp: of the file, the way in which it is read, and the database.
        begun: the line behind which this run began.
        line: up to which it is done.
    """

    path: Path
    refusals: Path
    stamp: str
    begun: int = 0
    line: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    @classmethod
    def of(cls, source: _Source, database: str, anew: bool) -> "_Progress":
        """What is known of a file; nothing where it has changed since, is read in another way, or
        is imported into another database."""
        file = source.file
        path, refusals = [file.with_name(f"{file.name}.{end}") for end in ("progress", "refused")]
        made = cls(path, refusals, f"{source.stamp} {database}")
        if not anew and made.path.exists():
            known = json.loads(made.path.read_text())
            if known.get("stamp") == made.stamp:
                made.begun = made.line = known["line"]
                made.counts = known["counts"]
        if made.line == 0:
            made.refusals.unlink(missing_ok=True)
        return made

    @property
    def refused(self) -> int:
        """How many lines were."""
        return self.counts["conflict"] + self.counts["invalid"]

    def note(self, results: list[dict[str, Any]], *, kept: bool) -> None:
        """Note what became of lines; those that were refused are told in a file."""
        for name, count in Counter(each["status"] for each in results).items():
            self.counts[name] += count
        refused = [each for each in results if each["status"] in ("conflict", "invalid")]
        if refused:
            with self.refusals.open("a") as report:
                report.writelines(json.dumps(each) + "\n" for each in refused)
        self.line = results[-1]["line"]
        if kept:
            told = {"stamp": self.stamp, "line": self.line, "counts": self.counts}
            fresh = self.path.with_name(f"{self.path.name}.new")
            fresh.write_text(json.dumps(told))
            fresh.replace(self.path)

    def summary(self, file: Path, dry_run: bool) -> str:
        """What was done, for a person."""
        told = ", ".join(f"{self.counts[name]:,} {name}" for name in OUTCOMES)
        where = f"; what is wrong with them is in {self.refusals}" if self.refused else ""
        would = "It would be: " if dry_run else ""
        before = f" Up to line {self.begun:,} an earlier run did it." if self.begun else ""
        return f"{file.name}: {would}{told}{where}.{before}"


async def _import(settings: Settings, source: _Source, again: bool, dry_run: bool) -> _Progress:
    from app.app_data.quotas import Rooms  # noqa: PLC0415  # slow imports
    from app.apps.registry import AppRegistry  # noqa: PLC0415
    from app.people.apps import Apps  # noqa: PLC0415
    from app.people.importing import Importer  # noqa: PLC0415
    from models.deployment import Deployment  # noqa: PLC0415

    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    async with opened(settings):
        database = "" if dry_run else await Deployment.epoch()  # it makes one where there is none
        progress = _Progress.of(source, database, again or dry_run)
        apps = Apps(AppRegistry(settings), Rooms())
        importer = Importer(apps, "script:users-import", may_grant=True, dry=dry_run)
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("importing", total=source.size)
            for lines, place in _batches(source, progress.line):
                progress.note(await _written(importer, lines), kept=not dry_run)
                bar.update(task, completed=place)
    return progress


def _batches(source: _Source, after: int) -> Iterator[tuple[list[_Line], int]]:
    """The lines behind a line, some at a time, with how far into the file they are."""
    lines: list[_Line] = []
    size = place = 0
    for line, place in source.lines():  # the last place is needed below
        number, text = line
        if number <= after:
            continue
        lines.append(line)
        size += 0 if isinstance(text, _Fault) else len(text)
        if len(lines) == _TOGETHER or size > _LINE:
            yield lines, place
            lines, size = [], 0
    if lines:
        yield lines, place


async def _written(importer: "Importer", lines: list[_Line]) -> list[dict[str, Any]]:
    from app.people.restoring import Gatherer  # noqa: PLC0415
    from app.people.streaming import Reading  # noqa: PLC0415

    reading = Reading(await Gatherer.make())
    for number, text in lines:
        if isinstance(text, _Fault):
            reading.refuse(number, "malformed", text.detail)
        else:
            reading.add(number, text)
    return await reading.write(importer)
