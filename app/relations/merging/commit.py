"""The merge of two people: a commit after which there is one, and a sweep that moves what is left
(docs/merging.md)."""

from collections import Counter
from collections.abc import Callable

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import BadReference, Invalid, Merged, NotFound, Problem
from app.identity import trail
from app.relations.delete import begin, entry_of, go_on
from app.relations.hooks import Hooks, Merge
from app.relations.merging.carry import carry, counted
from app.relations.merging.conflicts import (
    KINDS,
    Joined,
    Keep,
    app_data_conflicts,
    blockers_of,
    joined,
    refuse_cards,
    write,
)
from app.settings import Settings
from app.web.observability import log
from models.app_data_merge import KIND
from models.aside import told
from models.auth_identity import GUEST, AuthIdentity
from models.base import Raw
from models.deletion import Deletion
from models.living import is_living
from models.relations import OnMerge, children_of
from models.unreadable import Unreadable
from models.user import User

Allowed = Callable[[Raw, Raw], None]
"""Raises where the two users, as they are stored at the commit, are not to be merged by this
caller."""


async def merge_people(
    source_id: ObjectId,
    target_id: ObjectId,
    keep: Keep,
    by: str,
    settings: Settings,
    hooks: Hooks,
    *,
    allowed: Allowed | None = None,
    forced: bool = False,
) -> Deletion:
    """Make everything of one person another's, and the one be gone.

    Args:
        source_id: who is merged; the id is never used again.
        target_id: into whom.
        keep: whose is kept where both have something, by kind.
        by: who merges them.
        settings: how long to move before the rest is left to a job.
        hooks: how the domains move what is theirs.
        allowed: see `Allowed`.
        forced: the merge was made before, and whatever was not chosen is the target's.

    Returns:
        The ledger's entry. Where it is not `swept`, a job of the same id goes on.

    Raises:
        MergeConflict: both have something, and nothing was chosen; nothing was changed.
        Restricted: cards of another account refer to one of them; nothing was changed.
        NotFound, Merged: the source is not there, or merged already.
        BadReference: the target is not there.
        Invalid: they are one already.
    """
    if source_id == target_id:
        raise Invalid.field("/into", "conflicting", "nobody is merged into themselves")
    keep = {**dict.fromkeys(KINDS, "target"), **keep} if forced else keep
    values = [] if KIND in keep else await app_data_conflicts(source_id, target_id)

    async def commit(session: AsyncClientSession) -> Deletion:
        source, target = await take_both(source_id, target_id, session)
        if allowed is not None:
            allowed(source, target)
        found = await joined(source, target, keep, session)
        found.conflicts += values
        found.refuse()
        refuse_cards(await blockers_of(source, target, found, session))
        ledger = entry_of(User, source_id, by, settings)
        ledger.into, ledger.chosen = PydanticObjectId(target_id), dict(keep)
        ledger.moved, merge = {}, Merge(source_id, target_id, keep)
        await _carry_at_once(ledger, merge, session, hooks)
        await _write(found, source, target, session)
        await begin(ledger, session)
        told = {"from": str(source_id), "keep": dict(keep)}
        await trail.record("people_merged", by, user_id=target_id, detail=told, session=session)
        return ledger

    ledger = await transaction(commit)
    await go_on(ledger, settings, hooks)
    return ledger


async def take_both(
    source_id: ObjectId, target_id: ObjectId, session: AsyncClientSession
) -> tuple[Raw, Raw]:
    """The two stored users; the source goes, the target is written, so that each transaction that
    does either conflicts with this one."""
    source = await User.raw().find_one_and_delete({"_id": source_id}, session=session)
    if source is None or not await is_living(User, source, session=session):
        raise await missing(source_id, session)
    target = await User.raw().find_one_and_update(
        {"_id": target_id}, {"$inc": {"guard": 1}}, session=session
    )
    if target is None or not await is_living(User, target, session=session):
        raise BadReference("there is no such user", "into")
    return source, target


async def missing(user_id: ObjectId, session: AsyncClientSession | None = None) -> Problem:
    """What is said of a user who is not there to whoever may know whom they were merged into."""
    try:
        into = await Deletion.merged_into(user_id, session)
    except Unreadable as error:
        into = None
        log.error(f"nobody can say who somebody is now: {told(error)}")
    if into is None:
        return NotFound("there is no such user")
    return Merged("this person was merged into another", extra={"into": str(into)})


async def _carry_at_once(
    ledger: Deletion, merge: Merge, session: AsyncClientSession, hooks: Hooks
) -> None:
    """What must not wait: ways of signing in, sessions, cards, projects, and what each has one
    of."""
    counts = Counter[str]()
    for relation in children_of(User):
        if relation.on_merge in (OnMerge.AT_ONCE, OnMerge.FIELDS) or relation.at_once:
            where = {relation.stored: merge.source}
            found = relation.child.raw().find(where, {"_id": 1}, session=session)
            carried = await carry(relation, await found.to_list(), merge, session, hooks)
            counts.update(counted(relation.child, carried))
    for name, count in counts.items():
        kind, _, collection = name.partition(".")
        if kind == "moved":
            ledger.moved = {**(ledger.moved or {}), collection: count}
        else:
            ledger.deleted[collection] = count


async def _write(found: Joined, source: Raw, target: Raw, session: AsyncClientSession) -> None:
    was_guest = {"userId": target["_id"], "provider": GUEST, "providerId": str(source["_id"])}
    await AuthIdentity.raw().delete_one(was_guest, session=session)
    extra: Raw = {"authMethods": await AuthIdentity.methods_of(target["_id"], session=session)}
    highest = {name: source.get(name) for name in ("lastLogin", "versionFloor")}
    await write(found, target, extra, highest, session)
