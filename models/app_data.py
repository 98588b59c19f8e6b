"""App data: any JSON value under (user, app, key), with a version that only ever grows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime
from pydantic import Field
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from models.app import AppId, DataKey
from models.app_data_rows import (
    ENVELOPE,
    chosen,
    enveloped,
    is_listed,
    live,
    size_of,
    wanted_fields,
)
from models.app_data_updates import (
    Expiry,
    QueryKeys,
    first_try,
    key_of,
    matching,
    put_update,
    tombstone_update,
    unexpired,
)
from models.app_data_written import StaleVersion, Written, written
from models.aside import tell
from models.base import Raw, Session, Timestamp, now
from models.owned import OwnedByUser
from models.precondition import Expected
from models.unreadable import FAULTS, Unreadable
from models.user import User
from models.values import Json, unescape_refs

_BEFORE: Final = {"version": 1, "createdAt": 1, "deleted": 1, "expiresAt": 1, "bytes": 1}
VALUE: Final = {
    "value": 1,
    "escaped": 1,
    "version": 1,
    "updatedAt": 1,
    "expiresAt": 1,
    "deleted": 1,
}
"""The fields of a row that a value is read by."""
_RACES: Final = 5


class AppData(OwnedByUser):
    """One value. Deleting leaves a tombstone (`deleted`): the key goes on counting, and no version
    comes twice."""

    GUARDED: ClassVar[bool] = True

    app_id: AppId
    data_key: DataKey
    value: Any = None
    escaped: bool = False
    deleted: bool = False
    changed_at: ClusterTime
    changed_by: str = ""
    bytes: int = 0
    expires_at: Timestamp | None = Field(default=None)
    set_aside_until: Annotated[
        Timestamp | None,
        Field(description="The expiry of this value failed: when it is tried again."),
    ] = None
    query_keys: Annotated[
        dict[str, str] | None,
        Field(description="By which the app's declared queries sort the value."),
    ] = None
    history: Annotated[
        list[Raw] | None,
        Field(description="Former versions where the app keeps them, the newest last."),
    ] = None

    mutations: Annotated[
        list[Raw] | None,
        Field(
            description="The last eight `mutationId`s of this row, each with the version it made."
        ),
    ] = None

    class Settings:
        name = "appdata"

    @classmethod
    async def find_by_user_app_and_key(
        cls, user_id: ObjectId, app_id: str, data_key: str, *, session: Session = None
    ) -> Raw | None:
        """The live value with `_id`, `version` and `updatedAt` as a row, None where there is none.

        This is the required `findByUserAppAndKey` as a hot path: one query, no document made of the
        answer.
        """
        row = await cls.raw().find_one(key_of(user_id, app_id, data_key), VALUE, session=session)
        return live(row)

    @classmethod
    async def find_envelope(
        cls, user_id: ObjectId, app_id: str, data_key: str, *, with_id: bool = False
    ) -> Raw | None:
        """The live value in its envelope (`dataKey, value, version, createdAt, updatedAt,
        expiresAt?`), or None."""
        wanted = ENVELOPE | {"_id": int(with_id)}
        row = live(await cls.raw().find_one(key_of(user_id, app_id, data_key), wanted))
        return None if row is None else enveloped(row)

    @classmethod
    async def find_id(cls, user_id: ObjectId, app_id: str, data_key: str) -> ObjectId | None:
        """The `_id` of a value or its tombstone, None where there never was one."""
        row = await cls.raw().find_one(key_of(user_id, app_id, data_key), {"_id": 1})
        return None if row is None else row["_id"]

    @classmethod
    async def find_by_user_and_app(
        cls,
        user_id: ObjectId,
        app_id: str,
        *,
        prefix: str = "",
        after: str | None = None,
        keys: Sequence[str] | None = None,
        limit: int = 200,
        fields: Sequence[str] | None = None,
        share: int | None = None,
    ) -> list[Raw]:
        """The live values of an app in their envelopes, in the order of their keys (required:
        `findByUserAndApp`).

        Args:
            user_id: whose.
            app_id: which app's.
            prefix: only keys that start so.
            after: only keys after this one.
            keys: only these keys.
            limit: how many at most.
            fields: names of the envelope to give, besides `dataKey` and `version`; None for all.
            share: leave out the values with more bytes of JSON than this, and tell of each row its
                `bytes` (0 where the value is not asked for) and whether it is `whole`.
        """
        span: Raw = {"$gte": prefix, "$lt": prefix + "\x7f"}
        span |= ({} if after is None else {"$gt": after}) | (
            {} if keys is None else {"$in": list(keys)}
        )
        query = {
            "userId": user_id,
            "appId": app_id,
            "dataKey": span,
            "deleted": False,
            **unexpired(now()),
        }
        cursor = cls.raw().find(query, wanted_fields(fields, share)).sort("dataKey", 1).limit(limit)
        return [enveloped(row) async for row in cursor]

    @classmethod
    async def page_by_user_and_app(
        cls,
        user_id: ObjectId,
        app_id: str,
        *,
        limit: int,
        most_bytes: int,
        fields: Sequence[str] | None = None,
        is_sent: Callable[[Raw], bool] = lambda _: True,
        **options: Any,
    ) -> tuple[list[Raw], str | None]:
        """`find_by_user_and_app`, bounded by bytes too, and the key after which there is more, None
        on the last page.

        Small values come with the list itself; those that are larger than their share of
        `most_bytes` come one by one, as far as there is room, so that no more is fetched than is
        given.

        Args:
            user_id: whose.
            app_id: which app's.
            limit: how many at most.
            most_bytes: of JSON of all values together; the first value comes in any case.
            fields: as of `find_by_user_and_app`.
            is_sent: whether an envelope is given.
            options: its `prefix`, `after` and `keys`.
        """
        share = most_bytes // (limit + 1)
        found = await cls.find_by_user_and_app(
            user_id, app_id, limit=limit + 1, share=share, fields=fields, **options
        )
        return await cls.fitted(
            *(found, user_id, app_id), limit=limit, most_bytes=most_bytes, fields=fields,
            is_sent=is_sent,
        )  # fmt: skip

    @classmethod
    async def fitted(
        cls,
        found: Sequence[Raw],
        user_id: ObjectId,
        app_id: str,
        *,
        limit: int,
        most_bytes: int,
        fields: Sequence[str] | None,
        is_sent: Callable[[Raw], bool] = lambda _: True,
    ) -> tuple[list[Raw], str | None]:
        """The page that `limit` and `most_bytes` leave of rows, which were found with one more; as
        above. Damaged rows, and those that `is_sent` refuses, are left out, and told."""
        page: list[Raw] = []
        room, last = most_bytes, None
        for row in found[:limit]:
            size, row_id, whole = size_of(row), row.pop("_id"), row.pop("whole")
            row.pop("bytes", None)
            if page and size > room:
                return page, last
            key = row.get("dataKey")
            last = key if isinstance(key, str) else last
            try:
                if not isinstance(key, str):
                    raise Unreadable(cls.collection_name(), row_id)
                current = row if whole else await cls.find_envelope(user_id, app_id, key)
                if current is None:  # it is gone meanwhile
                    continue
                if not (is_listed(current, fields) and is_sent(current)):
                    raise Unreadable(cls.collection_name(), row_id)
            except FAULTS as error:
                tell(cls, row_id, error)
                continue
            page.append(current if whole or fields is None else chosen(current, fields))
            room -= size
        if len(found) <= limit:
            return page, None
        if last is None:
            raise Unreadable(cls.collection_name(), row_id)
        return page, last

    @classmethod
    async def put(
        cls,
        user_id: ObjectId,
        app_id: str,
        data_key: str,
        value: Json,
        *,
        size: int,
        by: str,
        expected: Expected | None = None,
        expires_at: datetime | Expiry | None = None,
        history: int = 0,
        query_keys: QueryKeys = None,
        before: Callable[[], Awaitable[int]] | None = None,
        session: Session = None,
    ) -> Written:
        """Store a value under the next version, in one atomic operation.

        Args:
            user_id: whose.
            app_id: which app's.
            data_key: under which key.
            value: a value that `models.values.check_value` accepts.
            size: bytes of its JSON.
            by: who writes.
            expected: the precondition; None to write whatever is there.
            expires_at: when the value ends; None for never; `Expiry.KEEP` for as before.
            history: how many former versions the app keeps.
            query_keys: what the row keeps for the app's queries.
            before: awaited right before each attempt is sent: the lease on the user, which gives
                the floor of versions. None asks the database for the floor.
            session: of a transaction that the write belongs to.

        Raises:
            StaleVersion: the precondition does not hold.
            pymongo.errors.DuplicateKeyError: within a transaction only: racing creators; start
                again from outside.
        """
        moment, fresh = now(), ObjectId()
        key, sets = key_of(user_id, app_id, data_key), (value, size, by, expires_at, moment)
        upsert = expected is None or expected.absent
        for attempt in range(_RACES):
            floor = await (User.find_version_floor(user_id) if before is None else before())
            if attempt == 0:
                query, update = first_try(
                    key, expected, sets, fresh, history, floor, query_keys, alone=session is None
                )
            else:  # there is a tombstone, or what another created
                query, update = key, put_update(*sets, fresh, history, floor, query_keys)
            try:
                row = await cls.raw().find_one_and_update(
                    query,
                    update,
                    _BEFORE,
                    upsert=upsert,
                    return_document=ReturnDocument.BEFORE,
                    session=session,
                )
            except DuplicateKeyError:
                if expected is not None and expected.absent:
                    raise StaleVersion from None
                if session is not None or attempt == _RACES - 1:
                    raise
                continue
            if row is None and not upsert:
                raise StaleVersion
            return written(row, moment, expires_at, fresh, size, floor)
        raise AssertionError("unreachable")  # pragma: no cover

    @classmethod
    async def delete(  # type: ignore[override]  # Beanie's would leave no tombstone
        cls,
        user_id: ObjectId,
        app_id: str,
        data_key: str,
        *,
        by: str,
        expected: Expected | None = None,
        history: int = 0,
        session: Session = None,
    ) -> int:
        """Turn a live value into a tombstone, in one atomic operation; that is a version too.

        `history` is how many former versions the app keeps.

        Returns:
            The tombstone's version.

        Raises:
            StaleVersion: there is no live value, or the precondition does not hold.
        """
        if expected is not None and expected.absent:
            raise StaleVersion
        moment = now()
        query = key_of(user_id, app_id, data_key) | matching(expected or Expected(), moment)
        before = await cls.raw().find_one_and_update(
            query, tombstone_update(by, moment, history), {"_id": 0, "version": 1}, session=session
        )
        if before is None:
            raise StaleVersion
        return int(before["version"]) + 1

    @classmethod
    def plain(cls, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A stored row, its value as it was sent."""
        plain = dict(row)
        if plain.pop("escaped", False):
            plain["value"] = unescape_refs(plain["value"])
        return plain
