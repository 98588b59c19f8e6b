"""People in and out, as lines of JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from satchel_client.errors import Unreachable
from satchel_client.exchange import Call
from satchel_client.storable import dumped

Document = dict[str, Any]
_MOST_LINES: Final = 1000
_MOST_BYTES: Final = 16 * 1024 * 1024
_SECONDS: Final = 300.0
_NDJSON: Final = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Lines:
    """As many people as one request takes; `before` is how many came before them."""

    before: int
    content: bytes

    def call(self, *, dry_run: bool) -> Call:
        """The request that imports them. Sent again, it changes nothing."""
        params = {"dryRun": "true"} if dry_run else {}
        return Call(
            "POST",
            "/v1/users/import",
            params,
            headers=_NDJSON,
            content=self.content,
            seconds=_SECONDS,
        )

    def results(self, content: bytes) -> Iterator[Document]:
        """What became of each, `line` counted from the first of all."""
        for text in content.splitlines():
            told = json.loads(text)
            yield {**told, "line": told["line"] + self.before}


def lines_of(people: Iterable[Mapping[str, Any]]) -> Iterator[Lines]:
    """People in parts that a request takes."""
    part: list[bytes] = []
    before, size = 0, 0
    for person in people:
        line = dumped(dict(person)).encode("utf-8", "surrogatepass") + b"\n"
        if part and (len(part) == _MOST_LINES or size + len(line) > _MOST_BYTES):
            yield Lines(before, b"".join(part))
            before, part, size = before + len(part), [], 0
        part.append(line)
        size += len(line)
    if part:
        yield Lines(before, b"".join(part))


class Export:
    """The lines of an export as they come, and whether it is whole."""

    def __init__(self) -> None:
        self.is_whole = False

    def read(self, line: str) -> Document:
        """One line: `{"kind", "document"}`."""
        told = json.loads(line)
        self.is_whole = told["kind"] == "end"
        return dict(told)

    def end(self) -> None:
        """See that it is whole.

        Raises:
            Unreachable: it broke off.
        """
        if not self.is_whole:
            raise Unreachable("the export broke off: what came of it is not everything")
