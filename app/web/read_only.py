"""What the server sets of a document: sent back by a PUT as it was shown it is welcome, changed it
is refused."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from app.errors import Invalid
from models.base import Fields, Timestamp, stored_name

_SCHEMA: Final[dict[str, Any]] = {"readOnly": True}


class ReadOnly(Fields):
    """The fields of every document that no client sets."""

    id: Annotated[str | None, Field(json_schema_extra=_SCHEMA)] = None
    version: Annotated[int | None, Field(json_schema_extra=_SCHEMA)] = None
    created_at: Annotated[Timestamp | None, Field(json_schema_extra=_SCHEMA)] = None
    updated_at: Annotated[Timestamp | None, Field(json_schema_extra=_SCHEMA)] = None


class ReadOnlyOfUser(ReadOnly):
    """Those of a document that belongs to a user."""

    user_id: Annotated[str | None, Field(json_schema_extra=_SCHEMA)] = None


READ_ONLY: Final = frozenset(ReadOnlyOfUser.model_fields)


def writable(content: BaseModel) -> dict[str, Any]:
    """What a body says that is to be stored, by stored name."""
    return content.model_dump(by_alias=True, exclude=set(READ_ONLY))


def told(content: BaseModel) -> set[str]:
    """The read-only fields that a body has, by attribute."""
    return content.model_fields_set & READ_ONLY


def refuse_changes(content: BaseModel, shown: BaseModel | None) -> None:
    """See that the read-only fields of a body are as they are shown.

    Args:
        content: the body.
        shown: the document as it is sent; None where there is none, so that nothing can be told of
            it.

    Raises:
        Invalid: some are not; `errors` names them.
    """
    wrong = sorted(name for name in told(content) if not _same(content, shown, name))
    if wrong:
        found = [stored_name(name).lstrip("_") for name in wrong]
        errors = [
            {"pointer": f"/{name}", "code": "read_only", "detail": f"{name} is not for clients"}
            for name in found
        ]
        raise Invalid(
            f"{found[0]} does not change by a write: leave it out, or as it is", errors=errors
        )


def _same(content: BaseModel, shown: BaseModel | None, name: str) -> bool:
    sent, stored = getattr(content, name), getattr(shown, name, None)
    return sent is not None and (sent == stored or sent == str(stored))
