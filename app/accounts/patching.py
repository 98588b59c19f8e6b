"""A patch of what `GET` shows, made into the content that it leaves."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from app.errors import Invalid
from app.patches import PatchKind, apply_patch
from app.validation import validation_problem
from models.base import Fields, stored_name
from models.values import Json

C = TypeVar("C", bound=Fields)


def patched(shown: Mapping[str, Any], kind: PatchKind, patch: Json, content: type[C]) -> tuple[C, dict[str, Any]]:
    """The content that a patch leaves.

    Args:
        shown: the document as `GET` sends it.
        kind: which kind of patch it is.
        patch: the body.
        content: the fields of it that may change.

    Returns:
        The content, and what of it changed: new values by stored name.

    Raises:
        Invalid: the result is not acceptable, or something else than the content was changed.
    """
    after = apply_patch(kind, patch, dict(shown))
    if not isinstance(after, dict):
        raise Invalid.field("", "malformed", "the result is no object")
    names = {stored_name(name) for name in content.model_fields}
    changed = {name for name in {*shown, *after} if shown.get(name) != after.get(name)}
    if fixed := sorted(changed & (shown.keys() - names)):
        raise Invalid.field(f"/{fixed[0]}", "read_only", f"{fixed[0]} does not change by a patch")
    try:
        result = content.model_validate({name: after[name] for name in after if name in names or name not in shown})
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    before = content.model_validate({name: shown[name] for name in shown if name in names}).model_dump(by_alias=True)
    stored = result.model_dump(by_alias=True)
    return result, {name: value for name, value in stored.items() if before[name] != value}
