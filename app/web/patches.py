"""The two ways to patch a document: JSON Merge Patch (RFC 7396), and JSON Patch (RFC 6902) with
`increment`."""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar, cast

import jsonpatch
import jsonpointer
import orjson
from pydantic import ValidationError

from app.errors import Invalid, PatchTestFailed, TooLarge, UnsupportedMediaType
from app.web.body import MAX_BODY_BYTES
from app.web.validation.errors import validation_problem
from models.base import Fields, stored_name
from models.values import LEAST_INTEGER, MAX_DEPTH, MOST_INTEGER, Json

C = TypeVar("C", bound=Fields)
_MAX_OPERATIONS: Final = 1000
_NOTHING: Final = object()


class PatchKind(Enum):
    """How a body says what is to change."""

    MERGE = "application/merge-patch+json"
    PATCH = "application/json-patch+json"


def patch_kind(content_type: str | None) -> PatchKind:
    """Which kind of patch a request's content type names; to be asked before the body is parsed.

    Raises:
        UnsupportedMediaType: neither.
    """
    try:
        return PatchKind((content_type or "").split(";")[0].strip().lower())
    except ValueError:
        taken = ", ".join(kind.value for kind in PatchKind)
        raise UnsupportedMediaType(
            f"a patch is one of {taken}", headers={"Accept-Patch": taken}
        ) from None


def apply_patch(kind: PatchKind, patch: Json, document: Json) -> Json:
    """The document as the patch makes it; the one that was given stays as it was.

    Args:
        kind: which kind of patch it is.
        patch: the body.
        document: any JSON value.

    Raises:
        PatchTestFailed: a `test` operation found another value.
        Invalid: the patch is malformed, or names a place that is not there.
        TooLarge: it copies more than a body may hold.
    """
    return merge(document, patch) if kind is PatchKind.MERGE else _json_patch(document, patch)


def patched(
    shown: Mapping[str, Any], kind: PatchKind, patch: Json, content: type[C]
) -> tuple[C, dict[str, Any]]:
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
        result = content.model_validate(
            {name: after[name] for name in after if name in names or name not in shown}
        )
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    before = content.model_validate(
        {name: shown[name] for name in shown if name in names}
    ).model_dump(by_alias=True)
    stored = result.model_dump(by_alias=True)
    return result, {name: value for name, value in stored.items() if before[name] != value}


def merge(target: Json, patch: Json) -> Json:
    """RFC 7396's MergePatch: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def _json_patch(document: Json, patch: Json) -> Json:
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise Invalid.field("", "malformed", "a JSON Patch is an array of operations")
    if len(patch) > _MAX_OPERATIONS:
        raise Invalid.field(
            "", "too_long", f"a JSON Patch has at most {_MAX_OPERATIONS} operations"
        )
    result: Json = orjson.loads(orjson.dumps(document))
    copied = 0
    for index, operation in enumerate(patch):
        if operation.get("op") == "copy":
            copied += _copied_bytes(result, operation, f"/{index}")
        if copied > MAX_BODY_BYTES:
            raise TooLarge(f"a JSON Patch copies at most {MAX_BODY_BYTES} bytes of JSON")
        result = _operation(result, operation, f"/{index}")
    if patch:
        _size(result, "")  # operations that each nest a little deeper
    return result


def _copied_bytes(document: Json, operation: dict[str, Any], pointer: str) -> int:
    """The size of what is copied: copies of copies double a document, and thirty of them fill any
    memory."""
    part = _found(document, operation, "from", pointer)
    if part is _NOTHING:
        raise Invalid.field(pointer, "not_applicable", "the place that `from` names is not there")
    return _size(part, pointer)


def _size(value: Json, pointer: str) -> int:
    """The size of a value in bytes of JSON; raises Invalid where it is nested so deep that it
    cannot be written."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        raise Invalid.field(
            pointer, "too_deep", f"JSON may be nested {MAX_DEPTH} levels deep"
        ) from None


def _found(document: Json, operation: dict[str, Any], name: str, pointer: str) -> Any:
    """What an operation's `path` or `from` names, `_NOTHING` where nothing is there.

    Raises:
        Invalid: it is no JSON Pointer (RFC 6901), or missing.
    """
    try:
        place = jsonpointer.JsonPointer(operation[name])
    except (jsonpointer.JsonPointerException, KeyError, TypeError, AttributeError):
        raise Invalid.field(pointer, "not_applicable", f"`{name}` must be a JSON Pointer") from None
    try:
        found = place.resolve(document)
    except (jsonpointer.JsonPointerException, KeyError, TypeError, ValueError):
        return _NOTHING
    return _NOTHING if isinstance(found, jsonpointer.EndOfList) else found


def _operation(document: Json, operation: dict[str, Any], pointer: str) -> Json:
    if operation.get("op") == "increment":
        return _increment(document, operation, pointer)
    try:
        if operation.get("op") == "test":
            _test(document, operation, pointer)
            return document
        patch: Any = jsonpatch.JsonPatch([cast(Any, operation)])
        result: Json = patch.apply(document, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        raise Invalid.field(
            pointer, "not_applicable", "the operation is malformed or its place is not there"
        ) from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError):
        raise Invalid.field(pointer, "malformed", "the operation is malformed") from None
    return result


def _increment(document: Json, operation: dict[str, Any], pointer: str) -> Json:
    """Add to a number: our one extension of JSON Patch. A member that is not there begins as what
    is added."""
    found = _found(document, operation, "path", pointer)
    amount: Any = operation.get("value")
    if not _is_number(amount):
        raise Invalid.field(f"{pointer}/value", "wrong_type", "`value` must be a number")
    if found is not _NOTHING and not _is_number(found):
        raise Invalid.field(pointer, "not_applicable", "what stands at `path` is no number")
    total = amount if found is _NOTHING else _sum(found, amount, pointer)
    put: Any = {
        "op": "add" if found is _NOTHING else "replace",
        "path": operation["path"],
        "value": total,
    }
    if found is _NOTHING and not _is_member(document, operation["path"]):
        raise Invalid.field(pointer, "not_applicable", "the place is not there")
    return _operation(document, put, pointer)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_member(document: Json, path: str) -> bool:
    """Whether a path that leads to nothing names a member that an object could have."""
    try:
        holder, _ = jsonpointer.JsonPointer(path).to_last(document)
    except (jsonpointer.JsonPointerException, KeyError, TypeError, ValueError):
        return False
    return isinstance(holder, dict)


def _sum(one: float, other: float, pointer: str) -> float:
    """The exact sum of two integers, or that of two doubles, to which an integer must be equal.

    Raises:
        Invalid: it is beyond what a value may hold.
    """
    if isinstance(one, int) and isinstance(other, int):
        if not LEAST_INTEGER <= one + other <= MOST_INTEGER:
            raise Invalid.field(
                pointer, "integer_too_large", "the sum does not fit 64 bits with sign"
            )
        return one + other
    if float(one) != one or float(other) != other:
        raise Invalid.field(
            pointer,
            "out_of_range",
            "the integer is not exact as a double, which the other number is",
        )
    if not math.isfinite(total := float(one) + float(other)):
        raise Invalid.field(pointer, "not_finite", "the sum is beyond what a double holds")
    return total


def _test(document: Json, operation: dict[str, Any], pointer: str) -> None:
    """RFC 6902, section 4.6: numbers are compared as numbers, anything else with its type; Python
    holds 1 for true."""
    found = _found(document, operation, "path", pointer)
    wanted = operation["value"]
    if found is _NOTHING or not _same(found, wanted):
        raise PatchTestFailed(
            "a test operation found another value",
            errors=[{"pointer": pointer, "code": "test_failed", "detail": "the value is another"}],
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
