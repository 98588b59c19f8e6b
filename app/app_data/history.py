"""The rules of a value's history: who sees what of it, and how a former version becomes the
newest."""

from typing import Annotated, Any

from pydantic import Field

from app.app_data.place import Place
from app.app_data.values import store_value
from app.app_data.writes import WriteOptions
from app.errors import Invalid, NotFound
from app.identity.principal import Principal
from app.web.body import dump_json
from models.app_data_history import find_version, find_versions
from models.app_data_written import Written
from models.base import Fields, Raw, Timestamp

_NOT_KEPT = "this version is not kept"


class VersionView(Fields):
    """A version of a value, without the value."""

    version: int
    at: Annotated[Timestamp, Field(description="When it was written.")]
    by: Annotated[
        str,
        Field(
            description=(
                "Who wrote it: `user:<id>` and `key:<id>` of the person whose data it is and of who"
                " asks; of others `user` or `key` alone, but to admins. `expiry` where its time was"
                " over."
            )
        ),
    ]
    bytes: Annotated[int, Field(description="Of its JSON.")]
    deleted: Annotated[bool, Field(description="Whether the value was deleted by it.")]


class Restore(Fields):
    """Which version is to be the newest again."""

    version: Annotated[int, Field(ge=1, le=2**53, strict=True)]


async def list_versions(place: Place, caller: Principal) -> list[VersionView]:
    """The versions of a value, the newest first; the first is what is stored now.

    Raises:
        NotFound: there never was a value under this key, or there is no such user.
    """
    await place.lease.hold()
    found = await find_versions(*place.key)
    if not found:
        raise NotFound("there is no value under this key")
    return [VersionView(**_shown(row, place, caller)) for row in found]


async def read_version(place: Place, version: int, caller: Principal) -> Raw:
    """One version: the fields of `VersionView`, and `value` unless it is a deletion.

    Raises:
        NotFound: it is not kept, or there is no such user.
    """
    await place.lease.hold()
    return _shown(await _find(place, version), place, caller)


async def restore_version(
    place: Place, version: int, options: WriteOptions
) -> tuple[dict[str, Any], Written]:
    """Write the value of a version anew, as the newest one, by the rules of any write; it does not
    end.

    Returns:
        The envelope, and what was done.

    Raises:
        NotFound: the version is not kept, or there is no such user.
        Invalid: the version is a deletion, or its value does not fit the app's schemas any more.
        VersionMismatch: the precondition does not hold.
    """
    await place.lease.hold()
    found = await _find(place, version)
    if found["deleted"]:
        raise Invalid.field(
            "/version", "conflicting", "this version is a deletion: name one that has a value"
        )
    return await store_value(
        place, found["value"], len(dump_json(found["value"])), options, with_value=True
    )


async def _find(place: Place, version: int) -> Raw:
    found = await find_version(*place.key, version)
    if found is None:
        raise NotFound(_NOT_KEPT)
    return found


def _shown(version: Raw, place: Place, caller: Principal) -> Raw:
    """A version as this caller may see it: ids of other people and of other keys are no business of
    theirs."""
    by = version["by"]
    is_known = caller.is_admin or by in (caller.name, f"user:{place.user_id}")
    return version if is_known else {**version, "by": by.partition(":")[0]}
