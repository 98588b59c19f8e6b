"""Merges of people that a restored backup knows nothing of, made again."""

from collections import defaultdict
from typing import Final

from bson import ObjectId

from app.errors import BadReference, Merged, NotFound, Restricted
from app.relations.hooks import Hooks
from app.relations.merging.commit import merge_people
from app.settings import Settings
from app.web.observability import log
from models.base import Raw
from models.user import User

BY: Final = "restored"
_LEFT: Final = "two people were one, and cards of two accounts keep them apart: merge them by hand"


class Merges:
    """What the ledger tells of merges, note by note.

    Where the backup is from before the target was made, the source is all that there is of the
    person, and stays; if the target was merged in turn, or deleted, so is the source.
    """

    def __init__(self, settings: Settings, hooks: Hooks) -> None:
        self._settings, self._hooks = settings, hooks
        self._instead: defaultdict[ObjectId, set[ObjectId]] = defaultdict(set)

    async def again(self, note: Raw) -> int:
        """Make a merge again. How many people were merged."""
        target = ObjectId(note["into"])
        sources = {ObjectId(note["subject"]), *self._instead.pop(note["subject"], set())}
        if await User.raw().find_one({"_id": target}, {"_id": 1}) is None:
            self._instead[target] |= sources
            return 0
        return sum([await self._merge(each, target, note) for each in sorted(sources)])

    def left_by(self, note: Raw) -> list[Raw]:
        """Who stands for a person that was deleted later: notes of their deletion."""
        return [{**note, "subject": each} for each in self._instead.pop(note["subject"], set())]

    async def _merge(self, source: ObjectId, target: ObjectId, note: Raw) -> int:
        keep = note.get("chosen") or {}
        try:
            await merge_people(source, target, keep, BY, self._settings, self._hooks, forced=True)
        except Restricted:
            log.error(_LEFT, ids=[str(source), str(target)])
            return 0
        except (BadReference, Merged, NotFound):  # it is done, or they go with their account
            return 0
        return 1
