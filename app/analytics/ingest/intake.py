"""What a process knows while it takes events in: leases, apps, limits, seals, links of external
ids."""

import time
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from app.analytics.ingest.ids import EventIds
from app.analytics.ingest.inserts import Inserts
from app.analytics.ingest.lookups import SharedLookups
from app.analytics.ingest.write_keys import WriteKeyLimits
from app.apps.registry import AppRegistry
from app.relations.leases import Leases
from app.settings import Settings
from models.erasure import ErasedMessage, Erasure, message_digest
from models.external_id import ExternalId
from models.rollup_state import RollupState
from models.seal import Seal

_CACHED: Final = 50_000


class Intake:
    """Everything that ingest asks for, remembered for a few seconds where it seldom changes."""

    def __init__(self, settings: Settings, leases: Leases, apps: AppRegistry) -> None:
        self.settings = settings
        self.leases = leases
        self.apps = apps
        self.inserts = Inserts(leases, settings.request_timeout_ms / 1000)
        self.ids = EventIds()
        self.limits = WriteKeyLimits(settings)
        self._seals: dict[str, datetime] = {}
        self._seals_until = 0.0
        self._links: dict[tuple[str, str], tuple[ObjectId | None, float]] = {}
        self.erased_keys = SharedLookups(Erasure.erased_keys)
        self._erased_digests = SharedLookups(ErasedMessage.known)
        self._digest_key: bytes | None = None
        self._digest_key_until = 0.0

    async def seals(self) -> dict[str, datetime]:
        """App -> the moment before which its events are archived."""
        if self._seals_until <= time.monotonic():
            until = time.monotonic() + self.settings.credential_cache_seconds
            self._seals = await Seal.by_app()
            self._seals_until = until
        return self._seals

    async def erased_messages(self, messages: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these (app, `messageId`) whose events were erased; looked up only while there
        are any such."""
        if not messages or (key := await self._key_of_digests()) is None:
            return set()
        by_digest = {message_digest(key, *message): message for message in messages}
        return {by_digest[digest] for digest in await self._erased_digests.find(by_digest)}

    async def _key_of_digests(self) -> bytes | None:
        """The key of digests of erased messages; None while there are none."""
        if self._digest_key_until <= time.monotonic():
            until = time.monotonic() + self.settings.credential_cache_seconds
            found = (
                (await RollupState.read()).digest_key
                if await ErasedMessage.there_are_any()
                else None
            )
            self._digest_key = None if found is None else bytes.fromhex(found)
            self._digest_key_until = until
        return self._digest_key

    async def linked(self, app_id: str, external_ids: Collection[str]) -> dict[str, ObjectId]:
        """External id -> user, for those of an app that are known to be somebody."""
        moment = time.monotonic()
        unknown = {
            each
            for each in external_ids
            if self._links.get((app_id, each), (None, 0.0))[1] <= moment
        }
        if unknown:
            found = await ExternalId.users_of(app_id, unknown)
            if len(self._links) > _CACHED:
                self._links.clear()
            until = moment + self.settings.credential_cache_seconds
            self._links |= {(app_id, each): (found.get(each), until) for each in unknown}
        known = {
            each: self._links[app_id, each][0]
            for each in external_ids
            if (app_id, each) in self._links
        }
        return {each: user for each, user in known.items() if user is not None}

    def forget(self, app_id: str, external_id: str) -> None:
        """Look a link up again when it is next asked for."""
        self._links.pop((app_id, external_id), None)


def intake(scope: Any) -> Intake:
    """The intake of the process that serves this request."""
    found: Intake = scope["app"].state.intake
    return found
