"""What a client keeps of one person's data of one app: SQLite, one transaction to a call, safe for
threads."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from satchel_client.errors import SignedOut
from satchel_client.rows import Draft, Row, Sent, adopted, edited, heard, marked, unlisted
from satchel_client.storable import Growth, Quota, growth
from satchel_client.values import MISSING, Json, Missing

Rows = list[Row]
Keys = list[str]
_TABLES: Final = """
create table if not exists rows (
    key text primary key, stored text, version integer not null, listing integer not null,
    place integer, draft text
);
create index if not exists outbox on rows (place) where place is not null;
create table if not exists state (
    id integer primary key check (id = 1), cursor text, listing integer not null,
    is_listing integer not null,
    next_place integer not null
);
insert or ignore into state values (1, null, 1, 1, 1);
create table if not exists quota (id integer primary key check (id = 1), header text not null);
"""


@dataclass(frozen=True, slots=True)
class State:
    """Where `changes` goes on (None: with everything), which listing of everything is the last, and
    is it under way."""

    cursor: str | None
    listing: int
    is_listing: bool


class _Closed:
    """In the place of a database that was closed."""

    def execute(self, *_: object) -> NoReturn:
        raise SignedOut("this store was closed")

    def close(self) -> None:
        """It is."""


class Cache:
    """Rows and cursor in one file, or in memory.

    Args:
        path: of the file; None for memory, which ends with the process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._open()

    def _open(self) -> None:
        db = sqlite3.connect(
            self._path or ":memory:", isolation_level=None, check_same_thread=False
        )
        db.execute("pragma journal_mode = wal")
        db.execute("pragma busy_timeout = 10000")
        db.executescript(_TABLES)
        self._db: sqlite3.Connection | _Closed = db

    def state(self) -> State:
        """Where the client stands."""
        with self._lock:
            cursor, listing, is_listing = self._db.execute(
                "select cursor, listing, is_listing from state"
            ).fetchone()
        return State(cursor, listing, bool(is_listing))

    def get(self, key: str) -> Row | None:
        """The row of a key."""
        rows = self._select("where key = ?", key)
        return rows[0] if rows else None

    def list(self, prefix: str) -> Rows:
        """The rows of keys that begin so, in the order of their keys."""
        return self._select(
            "where key >= ? and key < ? order by key", prefix, prefix + "\U0010ffff"
        )

    def pending(self) -> int:
        """How many rows have a draft."""
        with self._lock:
            return int(
                self._db.execute("select count(*) from rows where place is not null").fetchone()[0]
            )

    def edit(self, key: str, change: Callable[[Json | Missing], Json | Missing]) -> None:
        """A change made here, by what is seen.

        Raises:
            Unstorable: by `change`, or it is more than the quota has room for. Nothing is kept.
        """
        with self._writing():
            row = self.get(key) or Row(key)
            content = change(row.seen)
            self._see_room(row, content)
            self._put(edited(row, content, self._place()))

    def _place(self) -> int:
        """The next place in line."""
        (place,) = self._db.execute(
            "update state set next_place = next_place + 1 returning next_place"
        ).fetchone()
        return int(place)

    def drafts(self) -> Rows:
        """The rows with a draft, those that wait longest first."""
        return self._select("where place is not null order by place")

    def adopt(self, key: str, draft: Draft) -> bool:
        """Take a draft over from a guest who is this person now; False where the key has one."""
        with self._writing():
            row = adopted(self.get(key) or Row(key), draft, self._place())
            if row is not None:
                self._put(row)
        return row is not None

    def _see_room(self, row: Row, content: Json | Missing) -> None:
        told = self._db.execute("select header from quota").fetchone()
        grown = growth(row.seen, content)
        if told is None or (grown.keys <= 0 and grown.bytes <= 0):
            return
        waiting = (
            growth(each.stored, each.seen) for each in self._select("where place is not null")
        )
        Quota.parse(told[0]).check(grown, sum(waiting, Growth()))

    def note_quota(self, header: str | None) -> None:
        """Keep what the server told of the quota: nothing where the app has none."""
        with self._writing():
            self._db.execute("delete from quota")
            if header is not None:
                self._db.execute("insert into quota values (1, ?)", (header,))

    def update(self, key: str, change: Callable[[Row], Row]) -> None:
        """One row, by what it was."""
        with self._writing():
            self._put(change(self.get(key) or Row(key)))

    def apply(self, changes: Iterable[Mapping[str, Any]], cursor: str, *, more: bool) -> Keys:
        """A page of changes and the cursor behind it, in one transaction.

        Returns:
            The keys that look different now.
        """
        different = []
        with self._writing():
            state = self.state()
            for told in changes:
                row = self.get(told["dataKey"]) or Row(told["dataKey"])
                now = heard(row, told, state.listing)
                self._put(now)
                if now.version != row.version and row.draft is None:
                    different.append(row.key)
            if state.is_listing and not more:
                different += self._end_listing(state.listing)
            self._db.execute(
                "update state set cursor = ?, is_listing = ?", (cursor, state.is_listing and more)
            )
        return different

    def _end_listing(self, listing: int) -> Iterator[str]:
        for row in self._select("where listing <> ?", listing):
            left = unlisted(row, listing)
            if row.draft is None and row.seen is not MISSING:
                yield row.key
            if left is None:
                self._db.execute("delete from rows where key = ?", (row.key,))
            else:
                self._put(left)

    def relist(self) -> None:
        """Begin to list everything anew."""
        with self._writing():
            self._db.execute(
                "update state set cursor = null, listing = listing + 1, is_listing = 1"
            )

    def take(self, limit: int) -> Rows:
        """The drafts that wait longest, each marked as sent."""
        with self._writing():
            rows = [
                marked(row)
                for row in self._select("where place is not null order by place limit ?", limit)
            ]
            for row in rows:
                self._put(row)
        return rows

    def drop(self) -> None:
        """Forget everything."""
        with self._lock:
            self.close()
            for suffix in ("", "-wal", "-shm") if self._path else ():
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file: who reads or writes hereafter is told so by SignedOut."""
        with self._lock:
            self._db.close()
            self._db = _Closed()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _select(self, where: str, *values: object) -> Rows:
        with self._lock:
            found = self._db.execute(
                f"select key, stored, version, listing, draft from rows {where}",  # noqa: S608
                values,
            )
            return [
                Row(key, _loaded(stored), version, listing, _draft(draft))
                for key, stored, version, listing, draft in found.fetchall()
            ]

    def _put(self, row: Row) -> None:
        draft = row.draft
        values = (
            row.key,
            _dumped(row.stored),
            row.version,
            row.listing,
            None if draft is None else draft.order,
            None if draft is None else json.dumps(_packed(draft)),
        )
        self._db.execute("insert or replace into rows values (?, ?, ?, ?, ?, ?)", values)


def _dumped(value: Json | Missing) -> str | None:
    return None if value is MISSING else json.dumps(value)


def _loaded(text: str | None) -> Json | Missing:
    return MISSING if text is None else json.loads(text)


def _packed(draft: Draft) -> dict[str, Any]:
    sent = draft.sent
    return {
        "order": draft.order,
        "content": _dumped(draft.content),
        "mutation_id": draft.mutation_id,
        "base": _dumped(draft.base),
        "base_version": draft.base_version,
        "sent": (
            None
            if sent is None
            else {"content": _dumped(sent.content), "mutation_id": sent.mutation_id}
        ),
    }


def _draft(text: str | None) -> Draft | None:
    if text is None:
        return None
    packed = json.loads(text)
    sent = packed.pop("sent")
    packed |= {"content": _loaded(packed["content"]), "base": _loaded(packed["base"])}
    return Draft(
        **packed, sent=None if sent is None else Sent(_loaded(sent["content"]), sent["mutation_id"])
    )
