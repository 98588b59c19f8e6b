"""A stream of lines into the import, with no more of it in memory than a few megabytes."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from app.errors import Problem
from app.people.importing import MOST_TOGETHER, Importer, Outcome, Result
from app.people.lines import MOST_LINE_BYTES, MOST_LINES, parse_line
from app.people.lines.told import Told, digest_of, refused, told_of
from app.people.restoring import Gatherer, is_exported, reason_left
from app.web.body import dump_json

NDJSON: Final = "application/x-ndjson"
_TOGETHER_BYTES: Final = 4 * 1024 * 1024
_GATHERED_BYTES: Final = 2 * 1024 * 1024
_MOST_TOLD: Final = 2 * MOST_LINES
"""Lines of a request that are answered for; those behind them are not read."""
_TOO_MANY: Final = f"a request has at most {MOST_LINES} lines: send this one by the next"


async def split_lines(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream; of one that is too long the beginning, which is too long as well."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line
        rest = rest[: MOST_LINE_BYTES + 1]
    if rest:
        yield rest


class Reading:
    """Lines that are read and not written: those of imports each for itself, those of an export as
    far as they are about one person.

    Args:
        gatherer: puts the latter together.
    """

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._people: list[tuple[list[int], Told]] = []
        self._left: dict[int, str] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether they are to be written."""
        return len(self._people) >= MOST_TOGETHER or self._bytes >= _TOGETHER_BYTES

    def add(self, number: int, text: bytes) -> None:
        """Read a line; what is wrong with it is told when it would be written."""
        self._bytes += len(text)
        try:
            line = parse_line(text)
            if is_exported(line):
                self._gather(number, line, len(text))
                return
            self._flush()
            told = told_of(line, digest_of(text))
        except Problem as problem:
            told = refused(problem)
        self._people.append(([number], told))

    def refuse(self, number: int, code: str, detail: str) -> None:
        """Note a line that is not read."""
        told = Told()
        told.refuse("", code, detail)
        self._people.append(([number], told))

    def _gather(self, number: int, line: Any, size: int) -> None:
        if (reason := reason_left(str(line["kind"]))) is not None:
            self._left[number] = reason
            return
        if not self._gatherer.belongs(line):
            self._flush()
        self._gatherer.take(number, line, size)
        gathered = self._gatherer.current
        if gathered is not None and (gathered.is_full or gathered.size > _GATHERED_BYTES):
            self._flush()

    def _flush(self) -> None:
        gathered, self._gatherer.current = self._gatherer.current, None
        if gathered is not None and gathered.numbers:
            self._people.append((gathered.numbers, gathered.told()))

    async def write(self, importer: Importer) -> list[dict[str, Any]]:
        """Write what was read.

        Returns:
            What became of each line, as it is sent, in the order of their numbers.
        """
        self._flush()
        people, left = self._people, self._left
        self._people, self._left, self._bytes = [], {}, 0
        results = await importer.write([told for _, told in people])
        shown = {
            number: result.shown(number)
            for (numbers, _), result in zip(people, results, strict=True)
            for number in numbers
        }
        for number, reason in left.items():
            told = Result(Outcome.UNCHANGED).shown(number)
            shown[number] = {**told, "left": reason}
        return [shown[number] for number in sorted(shown)]


async def import_stream(
    importer: Importer, parts: AsyncIterable[bytes]
) -> AsyncIterator[dict[str, Any]]:
    """Write the lines of a stream as they come.

    Args:
        importer: writes them.
        parts: of NDJSON; blank lines are passed over.

    Yields:
        What became of each line, in their order; `line` is its number, the first is 1. Lines beyond
        those that a request may have are told to be too many, as many again of them.
    """
    reading, number, lines = Reading(await Gatherer.make()), 0, 0
    async for line in split_lines(parts):
        number += 1
        if not line.strip():
            continue
        lines += 1
        if lines > _MOST_TOLD:
            break
        if lines > MOST_LINES:
            reading.refuse(number, "too_many", _TOO_MANY)
        else:
            reading.add(number, line)
        if reading.is_full:
            for done in await reading.write(importer):
                yield done
    for done in await reading.write(importer):
        yield done


async def answer_of(results: AsyncIterable[dict[str, Any]]) -> bytes:
    """The results as NDJSON."""
    return b"".join([dump_json(result) + b"\n" async for result in results])
