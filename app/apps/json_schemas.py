"""JSON Schemas of an app's values: what may be one, which one a key has, and what of a value does
not fit.

Two things that the library does without bounds are kept from it: it lists every error of a value
before it gives the first, which takes half a minute for a large one, and it fetches what a schema
refers to.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

import jsonschema_rs as js
from cachetools import LRUCache, cached

from app.apps.schema_looks import MOST_DEEP, MOST_LOOKS, TooDeep, at, looks_of
from app.errors import Invalid
from app.web.body import MAX_VALUE_BYTES, dump_json, parse_json
from models.app import App, AppContent
from models.values import Json

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
MOST_BYTES: Final = 64 * 1024
_MOST_PATTERNS: Final = 100
_MOST_OPTIONS: Final = 1000
_REGEX: Final = js.RegexOptions(size_limit=256 * 1024, dfa_size_limit=256 * 1024)
"""Of the kind that takes time in proportion to the text: what such an engine cannot do, a schema
cannot ask for."""
_CACHED: Final = 64
_MOST_TOLD: Final = 20
_MOST_MICROSECONDS: Final = 50_000
_EXPANDED: Final = 5000
_MOST_LOOKS_IN_ALL: Final = 20_000_000
"""At all places of a value, a third of a second in all."""
_FEW_LOOKS: Final = _MOST_LOOKS_IN_ALL // (MAX_VALUE_BYTES // 2)
"""At one place: no value has so many that they would be too many."""
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
_NAMES: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
"""Keywords that hold schemas by name."""
_BRANCHING: Final = frozenset(
    {"anyOf", "oneOf", "allOf", "not", "if", "dependentSchemas", "patternProperties"}
) | {*("contains", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef")}
_CODES: Final[Mapping[str, str]] = {
    "type": "wrong_type",
    "required": "missing",
    "enum": "not_allowed",
    "const": "not_allowed",
    "additionalProperties": "unknown",
    "unevaluatedProperties": "unknown",
    "minLength": "too_short",
    "minItems": "too_short",
    "minProperties": "too_short",
    "maxLength": "too_long",
    "maxItems": "too_long",
    "maxProperties": "too_long",
    "minimum": "out_of_range",
    "maximum": "out_of_range",
    "exclusiveMinimum": "out_of_range",
    "exclusiveMaximum": "out_of_range",
    "multipleOf": "out_of_range",
    "pattern": "malformed",
    "format": "malformed",
    "uniqueItems": "duplicate",
}
Fault = dict[str, str]


class Schema:
    """One schema, compiled.

    Args:
        pattern: of the keys that have it.
        schema: JSON Schema 2020-12.

    Raises:
        Invalid: it is none, or takes more than is allowed; pointers are into the app's settings.
    """

    def __init__(self, pattern: str, schema: Any) -> None:
        self.pattern = pattern
        schema = _plain(schema)
        place = f"/schemas/{_part(pattern)}"
        _check_bounds(schema, place)
        self._looks = _looks(schema, place)
        try:
            self._validator = js.Draft202012Validator(
                schema, pattern_options=_REGEX, validate_formats=True, offline=True, mask="it"
            )
        except js.ValidationError as error:
            detail = _sentence(error.message.split("\n")[0])
            raise Invalid.field(
                place + _pointer(error.instance_path), "malformed", detail
            ) from None
        self._shape = _Shape(schema)

    def faults(self, value: Json) -> list[Fault]:
        """What of a value does not fit: `{pointer, code, detail}` each, 20 at most; none where it
        fits."""
        if self._looks > _FEW_LOOKS and self._looks * _count(value) > _MOST_LOOKS_IN_ALL:
            return [{"pointer": "", "code": "too_long", "detail": self._too_much}]
        try:
            return [] if self._validator.is_valid(value) else self._told(value)
        except ValueError:  # of an integer as the driver reads those of 64 bits
            plain = _plain(value)
            return [] if self._validator.is_valid(plain) else self._told(plain)

    @property
    def _too_much(self) -> str:
        return f"it has too many members to be checked by the schema of {self.pattern}"

    def _told(self, value: Json) -> list[Fault]:
        text = dump_json(value)
        nodes = 1 + sum(map(text.count, (b",", b"{", b"[")))
        if self._shape.microseconds(nodes) <= _MOST_MICROSECONDS:
            return [
                _fault(error) for error in islice(self._validator.iter_errors(value), _MOST_TOLD)
            ]
        if not self._shape.branches:
            try:
                self._validator.validate(value)
            except js.ValidationError as error:
                return [_fault(error)]
        return [
            {
                "pointer": "",
                "code": "malformed",
                "detail": f"it does not fit the schema of {self.pattern}",
            }
        ]


def _plain(value: Any) -> Any:
    """A value or schema without the driver's integers of 64 bits, which the library knows nothing
    of."""
    return parse_json(dump_json(value))


class _Shape:
    """What decides how long the library takes to list what is wrong with a value."""

    def __init__(self, schema: Any) -> None:
        self.nodes = self.options = self.alternatives = 0.0
        self.branches = False
        self._root = schema
        self._expand(schema, ())

    def microseconds(self, nodes: int) -> float:
        """A generous estimate for a value of that many nodes; endless where the schema is recursive
        and branches."""
        if not math.isfinite(self.nodes):
            return math.inf if self.branches else nodes * 50.0 + nodes * self.options * 5
        return (
            nodes * (20 + 5 * self.options) * (1 + 3 * self.alternatives) + nodes * self.nodes * 0.1
        )

    def _expand(self, schema: Any, above: tuple[str, ...]) -> None:
        """Count the schema's nodes, those that it refers to as often as it does."""
        self.nodes += 1
        if not isinstance(schema, dict) or not self.nodes < _EXPANDED:
            self.nodes = self.nodes if self.nodes < _EXPANDED else math.inf
            return
        self.branches |= bool(_BRANCHING & schema.keys())
        self.options = max(self.options, len(schema.get("enum", ())))
        self.alternatives += len(schema.get("anyOf", ())) + len(schema.get("oneOf", ()))
        target = schema.get("$ref")
        if isinstance(target, str):
            if target in above or not (target == "#" or target.startswith("#/")):
                self.nodes = math.inf
            else:
                self._expand(at(self._root, target), (*above, target))
        for _, part in _subschemas(schema):
            self._expand(part, above)


class Schemas:
    """The schemas of one app, by pattern: a key, or the beginning of keys and `*`."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        if len(dump_json(dict(schemas))) > MOST_BYTES:
            raise Invalid.field(
                "/schemas",
                "too_long",
                f"all schemas together have at most {MOST_BYTES} bytes of JSON",
            )
        self._compiled = {pattern: Schema(pattern, schema) for pattern, schema in schemas.items()}
        self._beginnings = sorted(
            (name for name in schemas if name.endswith("*")), key=len, reverse=True
        )

    def of_key(self, data_key: str) -> Schema | None:
        """The schema of a key: its own, else that of the longest pattern that it begins with."""
        if data_key in self._compiled:
            return self._compiled[data_key]
        found = next((name for name in self._beginnings if data_key.startswith(name[:-1])), None)
        return None if found is None else self._compiled[found]

    def check(self, data_key: str, value: Json) -> None:
        """See that a value fits.

        Raises:
            Invalid: it does not; pointers are into the value.
        """
        schema = self.of_key(data_key)
        if schema is not None and (faults := schema.faults(value)):
            raise Invalid(
                f"the value does not fit the app's schema of {schema.pattern}", errors=faults
            )


def schemas_of(app: AppContent) -> Schemas | None:
    """The schemas of a registered app, compiled once for each version of its settings; None where
    it has none."""
    if not app.schemas or not isinstance(app, App):
        return None
    return _compiled(app)


def _version(app: App) -> tuple[str, int, datetime]:
    """A version may come twice after a restore."""
    return app.id, app.version, app.updated_at


@cached(LRUCache(_CACHED), key=_version)
def _compiled(app: App) -> Schemas:
    return Schemas(app.schemas)


def _check_bounds(schema: Any, place: str) -> None:
    """See that a schema leads nowhere else, and is not larger than it is meant to be."""
    patterns = 0
    for pointer, part in _walk(schema, place):
        for name in ("$ref", "$dynamicRef"):
            if isinstance(target := part.get(name), str) and not target.startswith("#"):
                raise Invalid.field(
                    f"{pointer}/{name}",
                    "unacceptable_url",
                    "a schema refers to its own parts alone",
                )
        if part.get("$schema", DRAFT) not in (DRAFT, f"{DRAFT}#"):
            raise Invalid.field(
                f"{pointer}/$schema", "not_allowed", "schemas are of JSON Schema 2020-12"
            )
        if isinstance(part.get("$id"), str) and pointer != place:
            raise Invalid.field(
                f"{pointer}/$id", "not_allowed", "within a schema references are to its own parts"
            )
        if isinstance(options := part.get("enum"), list) and len(options) > _MOST_OPTIONS:
            raise Invalid.field(
                f"{pointer}/enum", "too_many", f"an enum has at most {_MOST_OPTIONS} values"
            )
        patterns += "pattern" in part
        patterns += len(found) if isinstance(found := part.get("patternProperties"), dict) else 0
    if patterns > _MOST_PATTERNS:
        raise Invalid.field(
            place, "too_many", f"a schema has at most {_MOST_PATTERNS} regular expressions"
        )


def _looks(schema: Any, place: str) -> int:
    """How often a schema has the library look at one place of a value."""
    try:
        looks = looks_of(schema).most
    except TooDeep:
        raise Invalid.field(
            place, "too_deep", f"schemas lie at most {MOST_DEEP} deep within each other"
        ) from None
    if looks > MOST_LOOKS:
        raise Invalid.field(
            place, "too_many", f"at most {MOST_LOOKS} schemas apply to one place of a value"
        )
    return looks


def _count(value: Json) -> int:
    """How many places a value has."""
    count, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return count


def _walk(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its pointer."""
    waiting = [(place, schema)]
    while waiting:
        pointer, part = waiting.pop()
        if isinstance(part, dict):
            yield pointer, part
            waiting += [(f"{pointer}/{path}", inner) for path, inner in _subschemas(part)]


def _subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas right within a schema, with their pointers from there."""
    for name, value in schema.items():
        if name in _DATA:
            continue
        if name in _NAMES and isinstance(value, dict):
            yield from ((f"{name}/{_part(key)}", inner) for key, inner in value.items())
        elif isinstance(value, list):
            yield from (
                (f"{name}/{number}", inner)
                for number, inner in enumerate(value)
                if isinstance(inner, dict)
            )
        elif isinstance(value, dict):
            yield name, value


def _fault(error: js.ValidationError) -> Fault:
    path, kind = list(error.instance_path), error.kind
    if isinstance(kind, js.ValidationErrorKind.Required):
        path.append(str(kind.property))
    if isinstance(
        kind,
        (js.ValidationErrorKind.AdditionalProperties, js.ValidationErrorKind.UnevaluatedProperties),
    ):
        path += kind.unexpected[:1]
    code = _CODES.get(kind.name, "malformed")
    return {
        "pointer": _pointer(path),
        "code": code,
        "detail": _sentence(error.message.split("\n")[0]),
    }


def _sentence(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _pointer(path: list[Any]) -> str:
    return "".join(f"/{_part(str(part))}" for part in path)


def _part(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
