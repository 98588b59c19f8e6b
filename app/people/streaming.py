"""A stream of lines into the import, with no more of it in memory than a few megabytes."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from app.people.importing import MOST_TOGETHER, Importer, Outcome, Result
from app.people.lines import MOST_LINE_BYTES, MOST_LINES, Told, read_line
from app.web.body import dump_json

_TOGETHER_BYTES: Final = 4 * 1024 * 1024
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


@dataclass(slots=True)
class _Waiting:
    """Lines that are read and not written, by their numbers."""

    lines: dict[int, Told] = field(default_factory=dict)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether they are to be written."""
        return len(self.lines) >= MOST_TOGETHER or self.bytes >= _TOGETHER_BYTES


async def import_stream(
    importer: Importer, parts: AsyncIterable[bytes]
) -> AsyncIterator[tuple[int, Result]]:
    """Write the lines of a stream as they come.

    Args:
        importer: writes them.
        parts: of NDJSON; blank lines are passed over.

    Yields:
        The number of each line, the first is 1, and what became of it, in their order.
    """
    waiting, number, lines = _Waiting(), 0, 0
    async for line in split_lines(parts):
        number += 1
        if not line.strip():
            continue
        lines += 1
        if lines > MOST_LINES:
            told = Told()
            told.refuse("", "too_many", _TOO_MANY)
        else:
            told = read_line(line)
        waiting.lines[number] = told
        waiting.bytes += len(line)
        if waiting.is_full:
            for done in await _written(importer, waiting):
                yield done
            waiting = _Waiting()
    for done in await _written(importer, waiting):
        yield done


async def _written(importer: Importer, waiting: _Waiting) -> list[tuple[int, Result]]:
    results = await importer.write(list(waiting.lines.values()))
    return list(zip(waiting.lines, results, strict=True))


async def answer_of(results: AsyncIterable[tuple[int, Result]]) -> bytes:
    """The results as NDJSON."""
    lines = [dump_json(result.shown(number)) async for number, result in results]
    return b"".join(line + b"\n" for line in lines)


def is_stored(outcome: Outcome) -> bool:
    """Whether a line is in the database."""
    return outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)
