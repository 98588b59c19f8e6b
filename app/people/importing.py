"""Imports: some hundred people by one transaction, each created, updated, or left as they are.

Whom a line means is looked up in the transaction that writes, and the unique indexes decide: of
two imports of one person at once, one is run again and finds them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.database import transaction
from app.database.turns import Patience
from app.identity.standing import SPARED
from app.people.apps import Apps
from app.people.existing import GRANTED, Change, Stock, audit_row, differing, known_rows, read_stock
from app.people.lines.told import Error, Key, Told
from app.people.matching import Found, find_people, stand_alone
from app.people.rows import (
    activity_rows,
    external_row,
    former_id,
    identity_row,
    preferences_row,
    profile_row,
    user_row,
    value_row,
)
from app.people.writes import Writes
from app.shown.documents import current, user_view
from app.web.preconditions import mismatch, require
from models.activity import Activity
from models.app_data import AppData
from models.audit_event import AuditEvent
from models.auth_identity import AuthIdentity
from models.base import Raw, Stored, now
from models.deletion import Deletion
from models.external_id import ExternalId
from models.precondition import Expected
from models.preferences import Preferences
from models.profile import Profile
from models.user import User, UserContent, administers

MOST_TOGETHER: Final = 100
_TRIES: Final = 3
_DEFAULT: Final = UserContent()
_TAKEN: Final = "another person has this: {}"
_NOT_HERE: Final = "their user is not here: send the line of the user before"
_GOING: Final = "they are being deleted: send the line again in a minute"
_ACCOUNTS: Final = "a user of an account has the email that their account says: vouch for this one"


class Outcome(Enum):
    """What became of a line."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(slots=True)
class Result:
    """What became of a line: whom it is about, and what is in the way."""

    outcome: Outcome
    user_id: ObjectId | None = None
    errors: Sequence[Error] = ()

    def shown(self, number: int) -> dict[str, Any]:
        """The result of the line with this number, as it is sent."""
        shown: dict[str, Any] = {"line": number, "status": self.outcome.value}
        if self.user_id is not None:
            shown["id"] = str(self.user_id)
        return shown | ({"errors": list(self.errors)} if self.errors else {})


@dataclass(frozen=True, slots=True)
class Importer:
    """Writes lines.

    Attributes:
        apps: whose data they bring.
        by: who imports.
        may_grant: whether they may say what more than any other user somebody is, and change
            admins.
        dry: say what would become of the lines, and write nothing.
        only: the one key that finds a person; any other that does is a conflict.
        expected: what must be stored of that person, or that nobody is.
    """

    apps: Apps
    by: str
    may_grant: bool = False
    dry: bool = False
    only: Key | None = None
    expected: Expected | None = None

    async def write(self, people: Sequence[Told]) -> list[Result]:
        """Write lines, in their order where they are about the same person.

        Returns:
            What became of each.

        Raises:
            VersionMismatch: what is expected is not what is stored; nothing is written then.
        """
        await self.apps.check(people)
        results: dict[int, Result] = {}
        pending = list(range(len(people)))
        while pending:
            chosen, pending = _apart(people, pending)
            done = await self._together([people[number] for number in chosen])
            for number, result in zip(chosen, done, strict=True):
                if result is None:
                    pending.append(number)
                else:
                    results[number] = result
            pending.sort()
        return [results[number] for number in range(len(people))]

    async def _together(self, people: list[Told]) -> list[Result | None]:
        """Lines about different people, in one transaction; one by one where others keep being
        faster with one of them.

        Returns:
            What became of each; None where it is about the same person as one before.
        """
        patience = Patience()
        for attempt in range(_TRIES):
            try:
                return await self._transaction(people)
            except DuplicateKeyError:
                if attempt < _TRIES - 1:
                    await patience.again()
        if len(people) == 1:
            error = {"pointer": "/user", "code": "duplicate", "detail": _TAKEN.format("?")}
            return [Result(Outcome.CONFLICT, errors=[error])]
        return [(await self._together([told]))[0] for told in people]

    async def _transaction(self, people: list[Told]) -> list[Result | None]:
        batch = _Batch(self, people)
        results = await transaction(batch.write)
        for told, result in zip(people, results, strict=True):
            if result and result.outcome is Outcome.UPDATED and result.user_id is not None:
                self.apps.forget_rooms(told, result.user_id)
        return results


def _apart(people: Sequence[Told], pending: list[int]) -> tuple[list[int], list[int]]:
    """The first lines that share no key with one before them, and those that have to wait."""
    seen: set[Key] = set()
    chosen: list[int] = []
    waiting: list[int] = []
    for number in pending:
        keys = people[number].keys.keys()
        free = len(chosen) < MOST_TOGETHER and not keys & seen
        seen |= keys
        (chosen if free else waiting).append(number)
    return chosen, waiting


@dataclass(slots=True)
class _Batch:
    """Lines about different people, and what one try of their transaction makes of them."""

    importer: Importer
    people: list[Told]
    results: dict[int, Result | None] = field(default_factory=dict)
    known: dict[type[Stored], dict[ObjectId, Raw]] = field(default_factory=dict)
    moment: datetime = field(default_factory=now)

    async def write(self, session: AsyncClientSession) -> list[Result | None]:
        """Look up whom they mean, decide, and write: by a dozen commands at most."""
        self.results, self.moment, writes = {}, now(), Writes()
        for number, told in enumerate(self.people):
            if errors := told.errors or self._forbidden(told):
                self.results[number] = Result(Outcome.INVALID, errors=errors)
        able = [told for number, told in enumerate(self.people) if number not in self.results]
        if not self.importer.dry:
            await stand_alone(able, session)
        found = await find_people(able, session)
        for number, told in enumerate(self.people):
            if number not in self.results and (errors := self._in_the_way(told, found)):
                self.results[number] = Result(Outcome.CONFLICT, errors=errors)
        self.known = await known_rows(able, session)
        await self._change(found, writes, session)
        await self._create(found, writes, session)
        if not self.importer.dry:
            self._record(writes)
            await writes.send(session)
        return [self.results[number] for number in range(len(self.people))]

    def _forbidden(self, told: Told) -> list[Error]:
        """What who imports may not say."""
        if self.importer.may_grant:
            return []
        names = [
            name
            for name in GRANTED
            if told.fields.get(name, getattr(_DEFAULT, name)) != getattr(_DEFAULT, name)
        ]
        detail = "only an admin changes this"
        return [
            {"pointer": f"/user/{name}", "code": "forbidden", "detail": detail} for name in names
        ]

    def _in_the_way(self, told: Told, found: Found) -> list[Error]:
        """Why a line cannot be written: its keys find several people, or one who is spared."""
        whom, only = found.of(told), self.importer.only
        if len(whom) > 1 or (only is not None and not whom <= found.by_key.get(only, set())):
            return [
                _error(pointer, "duplicate", _TAKEN.format(", ".join(map(str, sorted(owners)))))
                for key, pointer in told.keys.items()
                if (owners := found.by_key.get(key)) and (key != only or len(owners) > 1)
            ]
        if whom & found.going:
            return [_error("", "duplicate", _GOING)]
        user = found.users[next(iter(whom))] if whom else {}
        if administers(user) and not self.importer.may_grant:
            return [_error("", "forbidden", SPARED)]
        moved = told.email is not None and told.email != user.get("email")
        if user.get("accountId") is not None and moved and not told.vouched:
            return [_error("/user/email", "forbidden", _ACCOUNTS)]
        self._see_that_it_is_expected(user)
        return []

    def _see_that_it_is_expected(self, user: Raw) -> None:
        """Raises VersionMismatch where the precondition does not hold for who was found."""
        expected = self.importer.expected
        if expected is None:
            return
        if user:
            require(expected, current(user_view(User.from_stored(user))))
        elif not expected.absent:
            raise mismatch(expected, None)

    async def _change(self, found: Found, writes: Writes, session: AsyncClientSession) -> None:
        """The lines that mean somebody who is there."""
        numbers: dict[ObjectId, int] = {}
        for number, told in enumerate(self.people):
            for user_id in found.of(told) if number not in self.results else ():
                if numbers.setdefault(user_id, number) != number:
                    self.results[number] = None  # by another key it is the same person
        wanted = differing([self.people[number] for number in numbers.values()], found)
        stock = await read_stock(wanted, session, self.moment) if wanted else None
        for user_id, number in numbers.items():
            outcome, told = Outcome.UNCHANGED, self.people[number]
            if stock is not None and user_id in wanted:
                outcome = await self._change_one(told, user_id, stock, found, writes)
            self.results[number] = Result(outcome, user_id, told.errors)

    async def _change_one(
        self, told: Told, user_id: ObjectId, stock: Stock, found: Found, writes: Writes
    ) -> Outcome:
        kept = stock.kept(user_id, told, self.moment)
        await self.importer.apps.hold_to_quotas(told, user_id, kept)
        if told.errors:
            return Outcome.INVALID
        change = Change(told, found.users[user_id], stock, self.known, *self._told_by)
        return Outcome.UPDATED if change.write(writes, found) else Outcome.UNCHANGED

    @property
    def _told_by(self) -> tuple[Apps, str, datetime]:
        return self.importer.apps, self.importer.by, self.moment

    async def _create(self, found: Found, writes: Writes, session: AsyncClientSession) -> None:
        """The lines that mean nobody who is there."""
        fresh = [number for number in range(len(self.people)) if number not in self.results]
        ids = await _free_ids([self.people[number] for number in fresh], session)
        for number, user_id in zip(fresh, ids, strict=True):
            told = self.people[number]
            if told.follows:
                error = _error("/document/userId", "unknown_user", _NOT_HERE)
                self.results[number] = Result(Outcome.CONFLICT, errors=[error])
                continue
            await self.importer.apps.hold_to_quotas(told, None, {})
            if told.errors:
                self.results[number] = Result(Outcome.INVALID, errors=told.errors)
                continue
            self._add(writes, told, user_id)
            dry = self.importer.dry
            self.results[number] = Result(Outcome.CREATED, None if dry else user_id)

    def _add(self, writes: Writes, told: Told, user_id: ObjectId) -> None:
        moment, by, inserts = self.moment, self.importer.by, writes.inserts
        user = user_row(told, user_id, moment)
        if told.user_id not in (None, user_id):  # another id than they had: found by it from now on
            inserts[ExternalId].append(former_id(told.user_id, user_id, moment))
            user |= {"createdAt": moment}
        inserts[User].append(user)
        inserts[Profile].append(profile_row(told, user_id, moment))
        inserts[Preferences].append(preferences_row(told, user_id, moment))
        for identity in told.identities:
            inserts[AuthIdentity].append(identity_row(identity, user_id, moment))
        for link in told.external_ids:
            inserts[ExternalId].append(external_row(*link, user_id, moment))
        floor, apps = user.get("versionFloor", 0), self.importer.apps
        for value in told.values:
            queries = apps.queries(value.app_id)
            inserts[AppData].append(value_row(value, user_id, by, moment, floor, queries))
        for document, rows in told.rows.items():
            known = self.known.get(document, {})
            inserts[document] += [
                {**row, "userId": user_id} for row in rows if row["_id"] not in known
            ]
        if told.activity:
            inserts[Activity] += activity_rows(told, user_id, moment).values()
        granted: Raw = {
            name: {"to": user[name]}
            for name in GRANTED
            if user.get(name) != getattr(_DEFAULT, name)
        }
        if granted:
            inserts[AuditEvent].append(audit_row("grant", by, granted, user_id))

    def _record(self, writes: Writes) -> None:
        """An entry of the audit trail for those who were written together, where any were."""
        counts = Counter(each.outcome.value for each in self.results.values() if each)
        detail = {name: counts[name] for name in ("created", "updated") if counts[name]}
        if detail:
            entry = audit_row("people_imported", self.importer.by, detail)
            writes.inserts[AuditEvent].append(entry)


async def _free_ids(people: Sequence[Told], session: AsyncClientSession) -> list[ObjectId]:
    """Ids for new people: those that an export tells, where nobody has or had them here."""
    wanted = [told.user_id for told in people if told.user_id is not None]
    taken = set[ObjectId]()
    if wanted:
        taken = set(await User.fetch(wanted, session, ("_id",)))
        taken |= set(await Deletion.fetch(wanted, session, ("_id",)))
    return [
        told.user_id if told.user_id is not None and told.user_id not in taken else ObjectId()
        for told in people
    ]


def _error(pointer: str, code: str, detail: str) -> Error:
    return {"pointer": pointer, "code": code, "detail": detail}
