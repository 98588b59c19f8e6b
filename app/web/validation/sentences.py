"""What is said of a field that pydantic refused: one short sentence of ours for each type of its
errors."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from models.base import MOMENT
from models.values import UnstorableValue

_OTHER: Final = "it does not have the form that is taken here"
_OF_LIBRARIES: Final = {"beanie.odm.fields": "an id has 24 hex digits"}
_OURS: Final = ("app", "models")

_OBJECT: Final = "it must be an object"
_ARRAY: Final = "it must be an array"
_NUMBER: Final = "it must be a number"
_WHOLE: Final = "it must be an integer"
_BOOLEAN: Final = "it must be true or false"
_STRING: Final = "it must be a string"
_DATE: Final = "it must be a date such as 2026-11-20"
_TIME: Final = "it must be a time of day such as 08:30:00"
_DURATION: Final = "it must be a duration such as PT15M"
_URL: Final = "it must be a URL such as https://example.com/path"
_UUID: Final = "it must be a UUID"
_LOOP: Final = "it refers to itself or is nested too deep"
_KIND: Final = "it is not of the kind that is taken here"
_MISSING: Final = "it is missing"
_UNKNOWN: Final = "there is no such field here"
_FIXED: Final = "it cannot be changed"

SENTENCES: Final[Mapping[str, str]] = {
    "no_such_attribute": _UNKNOWN,
    "json_invalid": "it is not valid JSON",
    "json_type": "it must be a string that holds JSON",
    "needs_python_object": _KIND,
    "recursion_loop": _LOOP,
    "recursion_depth_exceeded": _LOOP,
    "missing": _MISSING,
    "frozen_field": _FIXED,
    "frozen_instance": _FIXED,
    "extra_forbidden": _UNKNOWN,
    "invalid_key": "its names must be strings",
    "get_attribute_error": _OTHER,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "dataclass_exact_type": _OBJECT,
    "named_tuple_type": "it must be an array or an object",
    "default_factory_not_called": "it needs a value, since another field is wrong",
    "none_required": "it must be null",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "multiple_of": "it must be divisible by {multiple_of}",
    "finite_number": "it must be finite",
    "too_short": "it has too few items (at least {min_length})",
    "too_long": "it has too many items (at most {max_length})",
    "iterable_type": _ARRAY,
    "iteration_error": _OTHER,
    "string_type": _STRING,
    "string_unicode": "it must be a string of Unicode characters",
    "string_too_short": "it has too few characters (at least {min_length})",
    "string_too_long": "it has too many characters (at most {max_length})",
    "string_pattern_mismatch": "it must match the regular expression {pattern}",
    "string_not_ascii": "it must be ASCII",
    "enum": "it must be one of: {expected}",
    "dict_type": _OBJECT,
    "frozen_dict_type": _OBJECT,
    "ordered_dict_type": _OBJECT,
    "counter_type": _OBJECT,
    "mapping_type": _OBJECT,
    "list_type": _ARRAY,
    "deque_type": _ARRAY,
    "tuple_type": _ARRAY,
    "set_type": _ARRAY,
    "set_item_not_hashable": "its items must be strings, numbers or booleans",
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "it must be an integer of fewer digits",
    "int_from_float": "it must be an integer, without a fraction",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bytes_type": _STRING,
    "bytes_too_short": "it has too few bytes (at least {min_length})",
    "bytes_too_long": "it has too many bytes (at most {max_length})",
    "bytes_invalid_encoding": "it must be encoded as {encoding}",
    "value_error": _OTHER,
    "assertion_error": _OTHER,
    "literal_error": "it must be one of: {expected}",
    "missing_sentinel_error": "it must be left out",
    "ellipsis_error": _OTHER,
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": "it must be a date without a time of day",
    "date_past": "it must be a day before today",
    "date_future": "it must be a day after today",
    "time_type": _TIME,
    "time_parsing": _TIME,
    "datetime_type": MOMENT,
    "datetime_parsing": MOMENT,
    "datetime_object_invalid": MOMENT,
    "datetime_from_date_parsing": MOMENT,
    "datetime_past": "it must be a time before now",
    "datetime_future": "it must be a time after now",
    "timezone_naive": "it must be a time without an offset from UTC",
    "timezone_aware": "it must be a time with an offset from UTC, such as Z or +02:00",
    "timezone_offset": "it must be a time with another offset from UTC",
    "time_delta_type": _DURATION,
    "time_delta_parsing": _DURATION,
    "frozen_set_type": _ARRAY,
    "is_instance_of": _KIND,
    "is_subclass_of": _KIND,
    "callable_type": _KIND,
    "union_tag_invalid": "its field {discriminator} must be one of: {expected_tags}",
    "union_tag_not_found": "its field {discriminator} must say of which kind it is",
    "arguments_type": "it must be an array or an object",
    "missing_argument": _MISSING,
    "unexpected_keyword_argument": _UNKNOWN,
    "missing_keyword_only_argument": _MISSING,
    "unexpected_positional_argument": _UNKNOWN,
    "missing_positional_only_argument": _MISSING,
    "multiple_argument_values": "it is there twice",
    "url_type": _URL,
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_too_long": "it has too many characters (at most {max_length})",
    "url_scheme": "it must be a URL that starts with one of: {expected_schemes}",
    "uuid_type": _UUID,
    "uuid_parsing": _UUID,
    "uuid_version": "it must be a UUID of version {expected_version}",
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "decimal_max_digits": "it has too many digits (at most {max_digits})",
    "decimal_max_places": "it has too many digits after the point (at most {decimal_places})",
    "decimal_whole_digits": "it has too many digits before the point (at most {whole_digits})",
    "fraction_type": "it must be a fraction",
    "fraction_parsing": "it must be a fraction",
    "complex_type": "it must be a complex number",
    "complex_str_parsing": "it must be a complex number",
}
"""By pydantic's type of error (`pydantic_core.core_schema.ErrorType`), filled in with the error's
context."""


def sentence(error: Mapping[str, Any]) -> str:
    """What a client is told of one of `ValidationError.errors()`; never pydantic's or another
    library's own words."""
    context = error.get("ctx") or {}
    if isinstance(cause := context.get("error"), ValueError):
        return _of_validator(cause)
    if "expected" in context:
        context = {**context, "expected": str(context["expected"]).replace(" or ", ", ")}
    return SENTENCES.get(str(error["type"]), _OTHER).format_map(context)


def _of_validator(cause: ValueError) -> str:
    """What a validator of ours said; of another library's, that the form is wrong."""
    if isinstance(cause, UnstorableValue):
        return cause.detail
    place = _raised_in(cause.__traceback__)
    return str(cause) if place.partition(".")[0] in _OURS else _OF_LIBRARIES.get(place, _OTHER)


def _raised_in(traceback: TracebackType | None) -> str:
    """The module whose line raised."""
    name = ""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
    return name
