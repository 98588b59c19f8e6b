"""Numbers and booleans of bodies are what JSON says that they are.

By itself pydantic takes `"5"` and `true` for a number, and `"yes"` and `1` for a boolean. Here an
integer is what JSON Schema calls one: `5`, and `5.0` too, since JSON knows one kind of number.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticKnownError, core_schema

_NOT_WALKED: Final = frozenset(
    {"default", "metadata", "serialization", "config", "cls", "expected"}
)


def _integer(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise PydanticKnownError("int_type")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise PydanticKnownError("float_type")
    return value


_GUARDS: Final = {"int": _integer, "float": _number}


def strictly(schema: CoreSchema) -> CoreSchema:
    """A schema whose integers, numbers and booleans take nothing that only looks like one."""
    return cast(CoreSchema, _strict(schema))


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(each) for each in part]
    if isinstance(part, tuple):
        return tuple(_strict(each) for each in part)
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if isinstance(kind, str) and kind in _GUARDS:
        lax = cast(CoreSchema, {**part, "strict": False})
        return core_schema.no_info_before_validator_function(_GUARDS[kind], lax)
    if kind == "bool":
        return {**part, "strict": True}
    return _walked(part)


def _walked(part: Mapping[str, Any]) -> dict[str, Any]:
    guarded = part.get("function", {})
    if isinstance(guarded, dict) and guarded.get("function") in _GUARDS.values():
        return dict(part)
    return {name: value if name in _NOT_WALKED else _strict(value) for name, value in part.items()}
