"""The two ways to patch a document: JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902)."""

from typing import Any, Final, cast

import jsonpatch
import jsonpointer
import orjson

from app.body import MAX_BODY_BYTES
from app.errors import Invalid, PatchTestFailed, TooLarge, UnsupportedMediaType
from models.values import MAX_DEPTH, Json, UnstorableValue, check_value

MERGE: Final = "application/merge-patch+json"
PATCH: Final = "application/json-patch+json"
_MAX_OPERATIONS: Final = 1000


def apply_patch(content_type: str | None, patch: Json, document: Json) -> Json:
    """The document as the patch makes it; the one that was given stays as it was.

    Args:
        content_type: the request's, which says which kind of patch it is.
        patch: the body.
        document: any JSON value.

    Raises:
        UnsupportedMediaType: neither kind.
        PatchTestFailed: a `test` operation found another value.
        Invalid: the patch is malformed, or names a place that is not there.
        TooLarge: the document grows beyond a body's size.
    """
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind == MERGE:
        return merge(document, patch)
    if kind == PATCH:
        return _json_patch(document, patch)
    raise UnsupportedMediaType(f"send {MERGE} or {PATCH}", headers={"Accept-Patch": f"{MERGE}, {PATCH}"})


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
        raise Invalid.field("", "too_long", f"a JSON Patch has at most {_MAX_OPERATIONS} operations")
    result: Json = orjson.loads(orjson.dumps(document))
    for index, operation in enumerate(patch):
        result = _operation(result, operation, f"/{index}")
    return result


def _operation(document: Json, operation: dict[str, Any], pointer: str) -> Json:
    try:
        patch: Any = jsonpatch.JsonPatch([cast(Any, operation)])
        result: Json = patch.apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        raise PatchTestFailed(
            "a test operation found another value",
            errors=[{"pointer": pointer, "code": "test_failed", "detail": "the value is another"}],
        ) from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        raise Invalid.field(pointer, "not_applicable", "the operation is malformed or its place is not there") from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError):
        raise Invalid.field(pointer, "malformed", "the operation is malformed") from None
    if operation.get("op") in ("copy", "move"):
        _check_growth(result, pointer)
    return result


def _check_growth(document: Json, pointer: str) -> None:
    """A copy can double a document, and a hundred of them fill any memory."""
    try:
        check_value(document)
    except UnstorableValue:
        raise Invalid.field(pointer, "too_deep", f"JSON may be nested {MAX_DEPTH} levels deep") from None
    if len(orjson.dumps(document)) > MAX_BODY_BYTES:
        raise TooLarge("the patched document is too large")
