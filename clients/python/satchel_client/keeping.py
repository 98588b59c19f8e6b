"""What a store does with a person's data of one app, step by step, whoever sends its requests."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from satchel_client.cache import Cache
from satchel_client.errors import Gone, NotFound, SignedOut, Unstorable
from satchel_client.exchange import Ask, Call, Flow, Reply
from satchel_client.guests import Legacy, path_of
from satchel_client.identity import Identity
from satchel_client.live import Listening, follow_flow
from satchel_client.outgoing import fitting, is_own, learnt, write
from satchel_client.rows import Row, decided, refused, settled
from satchel_client.storable import QUOTA_HEADER, check_key, check_value
from satchel_client.values import (
    MISSING,
    Json,
    Missing,
    OnConflict,
    OnConflictAwaited,
    merge_patched,
)

_PAGE: Final = 200
_MOST: Final = 100
_KEPT_BACK: Final = frozenset({401, 403, 404, 409, 410})
"""Refusals that say nothing of the values: they are kept until somebody has seen to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as the app sees it. `version` is the one that is stored; `pending`: there are
    changes that are not."""

    key: str
    value: Json
    version: int
    pending: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that the server will never take; it is gone from the outbox. `value` is MISSING
    where it deleted."""

    key: str
    value: Json | Missing
    errors: Sequence[Mapping[str, str]]


Entries = list[Entry]
Rows = list[Row]
Flags = list[bool]
OnRefused = Callable[[Refusal], object]
Watcher = Callable[[Entries], object]


class Keeping:
    """What a store does, whoever sends its requests."""

    def __init__(
        self,
        identity: Identity,
        app_id: str,
        *,
        on_conflict: OnConflict | OnConflictAwaited,
        on_refused: OnRefused | None = None,
        folder: Path | str | None = None,
        stream: bool = True,
    ) -> None:
        user_id = identity.user_id
        if user_id is None:
            raise SignedOut("sign in first")
        self._identity = identity
        # by their id: were somebody else signed in by now, `me` would be them
        self._path = f"/v1/users/{user_id}/apps/{quote(app_id, safe='')}"
        self._on_conflict, self._on_refused = on_conflict, on_refused
        self._watchers: dict[object, tuple[str, Watcher]] = {}
        self._stream = stream
        self.stale = True
        """Whether there may be news at the server."""
        place = None if folder is None else Path(folder)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        self._name, self._path_of_cache = (user_id, app_id), path_of(place, user_id, app_id)
        self._cache = Cache(self._path_of_cache)
        self._legacy = Legacy(identity, app_id, place, self._cache)
        self._legacy.take()
        identity.keepers.append(self)

    def get(self, key: str, default: Any = None) -> Json:
        """The value under a key, `default` where there is none."""
        row = self._cache.get(key)
        return default if row is None or row.seen is MISSING else row.seen

    def list(self, prefix: str = "") -> Entries:
        """The values whose keys begin so, in the order of their keys."""
        rows = self._cache.list(prefix)
        return [
            Entry(row.key, row.seen, row.version, row.draft is not None)
            for row in rows
            if row.seen is not MISSING
        ]

    def put(self, key: str, value: Json) -> None:
        """Store a value: here at once, at the server as soon as it can be reached.

        Raises:
            Unstorable: the server would refuse it: it is too large or too deep, the key is
                malformed, or the quota is used up. Nothing is kept then.
        """
        kept = check_value(value)
        self._edit(key, lambda _: kept)

    def patch(self, key: str, patch: Json) -> None:
        """Change parts of a value by a JSON Merge Patch (RFC 7396): None takes a member away.

        Raises:
            Unstorable: as `put`.
        """
        parts = check_value(patch)
        self._edit(key, lambda before: check_value(merge_patched(before, parts)))

    def delete(self, key: str) -> None:
        """Delete a value."""
        self._edit(key, lambda _: MISSING)

    def watch(self, prefix: str, watcher: Watcher) -> Callable[[], None]:
        """Be given the values whose keys begin so: now, and again whenever one of them is
        different.

        Returns:
            To be called to be given no more.
        """
        name = object()
        self._watchers[name] = (prefix, watcher)
        watcher(self.list(prefix))
        return lambda: self._watchers.pop(name, None) and None

    @property
    def pending(self) -> int:
        """How many values have changes that are not known to be stored."""
        return self._cache.pending()

    def flush_flow(self) -> Flow[None]:
        """Send what waits and fetch what is new, until neither brings anything."""
        self.stale = True
        yield from self.round_flow()

    def round_flow(self) -> Flow[None]:
        """Fetch where there may be news, and send what waits, until nothing is left to do."""
        try:
            yield from self._rounds_flow()
        except NotFound:
            # a person who is gone has no session: that is found out now, not when the token is over
            if self._identity.user_id == self._name[0]:  # and not that of who is signed in by now
                yield from self._identity.renew_flow()
            raise

    def _rounds_flow(self) -> Flow[None]:
        while self.stale or self._cache.pending():
            self._changed(self._legacy.take())
            if self.stale:
                yield from self.pull_flow()
            if self._cache.pending():
                yield from self.push_flow()

    def follow_flow(self, listening: Listening) -> Flow[None]:
        """Hear of changes until the listening is stopped."""
        yield from follow_flow(
            self._identity, self._path, self._cache, listening, stream=self._stream
        )

    def pull_flow(self) -> Flow[None]:
        """Fetch what is new, page by page, each kept with the cursor behind it."""
        self.stale = False
        try:
            yield from self._pages_flow()
        except BaseException:
            self.stale = True
            raise

    def _pages_flow(self) -> Flow[None]:
        more = True
        while more:
            cursor = self._cache.state().cursor
            params = {"limit": str(_PAGE), **({} if cursor is None else {"since": cursor})}
            call = Call("GET", f"{self._path}/changes", params)
            reply = yield from self._identity.send_flow(call)
            try:
                page = reply.checked().json()
            except Gone:
                if cursor is None:
                    raise
                self._cache.relist()
                continue
            more = page["more"]
            self._changed(self._cache.apply(page["changes"], page["cursor"], more=more))
            self._cache.note_quota(reply.headers.get(QUOTA_HEADER))

    def push_flow(self) -> Flow[None]:
        """Send the drafts that wait longest, each with the version that it was made of."""
        rows = fitting(self._cache.take(_MOST))
        if rows:
            yield from self._send_flow(rows)

    def _send_flow(self, rows: Rows) -> Flow[None]:
        body = {"writes": [write(row) for row in rows]}
        reply: Reply = yield from self._identity.send_flow(
            Call("POST", f"{self._path}/batch", body=body)
        )
        if reply.status < 400:
            by_key = {row.key: row for row in rows}
            for result in reply.json()["results"]:
                yield from self._settle_flow(by_key[result["dataKey"]], result)
            self._cache.note_quota(reply.headers.get(QUOTA_HEADER))
            return
        error = reply.error()
        # a page of somebody in between is no word of the server's on these values
        is_word = error.code != "unknown" or error.status == 413
        if error.is_passing or not is_word or error.status in _KEPT_BACK:
            raise error
        if len(rows) > 1:  # one by one the server says whose fault it is
            half = len(rows) // 2
            yield from self._send_flow(rows[:half])
            yield from self._send_flow(rows[half:])
            return
        errors = error.errors or [{"pointer": "", "code": error.code, "detail": str(error)}]
        yield from self._settle_flow(rows[0], {"status": "invalid", "errors": errors})

    def _settle_flow(self, row: Row, result: Mapping[str, Any]) -> Flow[None]:
        assert row.draft is not None and row.draft.sent is not None  # it was taken
        sent, status = row.draft.sent, result["status"]
        if status == "stored":
            self._cache.update(
                row.key, lambda now: settled(now, sent.mutation_id, result["version"])
            )
        current = yield from self._whole_flow(result.get("current"))
        if status in ("conflict", "invalid") and "current" in result:
            self._cache.update(row.key, lambda now: learnt(now, current))
        if status == "conflict":
            yield from self._decide_flow(row.key, sent.mutation_id, current)
        if status == "invalid":
            self._cache.update(row.key, lambda now: refused(now, sent.mutation_id))
            if self._on_refused is not None:
                yield Ask(
                    self._on_refused, (Refusal(row.key, sent.content, result.get("errors", [])),)
                )
        self._changed([row.key])

    def _whole_flow(self, current: Mapping[str, Any] | None) -> Flow[Mapping[str, Any] | None]:
        """What is stored, with its value: of many large ones together an answer has the versions
        alone."""
        if current is None or current.get("deleted") or "value" in current:
            return current
        call = Call("GET", f"{self._path}/data", {"keys": current["dataKey"]})
        reply: Reply = yield from self._identity.send_flow(call)
        items = reply.checked().json()["items"]
        return dict(items[0]) if items else None

    def _decide_flow(
        self, key: str, mutation_id: str, current: Mapping[str, Any] | None
    ) -> Flow[None]:
        """Ask what is to be, again where the value was changed while it was asked."""
        is_there = current is not None and not current.get("deleted")
        theirs = current.get("value") if current is not None and is_there else MISSING
        version = current["version"] if current is not None and is_there else 0
        while True:
            row = self._cache.get(key)
            if (
                row is None
                or row.draft is None
                or row.draft.sent is None
                or row.draft.sent.mutation_id != mutation_id
            ):
                return
            draft = row.draft
            mine: Any = draft.content
            if not is_own(draft, theirs):
                mine = yield Ask(self._on_conflict, (draft.base, draft.content, theirs, key))
            done: Flags = []

            def decide(
                now: Row, draft_id: str = draft.mutation_id, made: Any = mine, done: Flags = done
            ) -> Row:
                if now.draft is None or now.draft.mutation_id != draft_id:
                    return now
                done.append(True)
                return decided(now, theirs, version, made)

            self._cache.update(key, decide)
            if done:
                return

    def _edit(self, key: str, change: Callable[[Json | Missing], Json | Missing]) -> None:
        check_key(key)
        try:
            self._cache.edit(key, change)
        except Unstorable as error:
            if error.code == "quota_exceeded":  # there may be room by now: ask for the next time
                self.stale = True
                self._wake()
            raise
        self._changed([key])
        self._wake()

    def leave(self) -> None:
        """Forget the person's data."""
        self._cache.drop()

    def part(self) -> None:
        """Be done with a guest: what was not sent is left to whom they are now."""
        self._end()
        if self._path_of_cache is None:
            self._identity.left[self._name] = self._cache
            self._identity.keepers.remove(self)
        else:
            self._closed()

    def join(self) -> None:
        """A guest was merged: take over what they left."""
        self.stale = True
        self._wake()

    def _closed(self) -> None:
        """Close what is kept; who signs out asks it no more."""
        with suppress(ValueError):  # it was closed before
            self._identity.keepers.remove(self)
        self._cache.close()

    def _end(self) -> None:
        """Stop keeping in step."""

    def _wake(self) -> None:
        """There is something to send."""

    def _changed(self, keys: Sequence[str]) -> None:
        for prefix, watcher in [*self._watchers.values()]:
            if any(key.startswith(prefix) for key in keys):
                watcher(self.list(prefix))
