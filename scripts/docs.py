"""`python -m scripts docs`: the pages that follow from the code, so that they never say anything
else."""

import importlib
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.errors import Problem
from app.errors.codes import FIELD_CODES
from app.repositories.hosts.registry import HOSTS, api_setting
from app.settings import Settings
from indexes.cards import REQUIRED_CARDS
from indexes.definitions import INDEXES, REQUIRED, TABLES
from indexes.index import Index
from models.base import Stored
from models.relations import RELATIONS
from scripts.rooms import rooms_diagram

DOCS: Final = Path(__file__).parent.parent / "docs"
_DIAGRAMS: Final = ("rooms", "relations")
"""What `docs/architecture.md` holds between markers, `<!-- rooms:begin -->` and `<!-- rooms:end
-->`."""
_WRITTEN_BY: Final = "Written by `python -m scripts docs`; change the code, not this page."
_SPARE: Final = "; no operation needs it"
_INDEX_HEAD: Final = ("index", "options", "list", "serves")
_KINDS: Final = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
}
_TABLES = (
    *(("required", table) for table in (REQUIRED, REQUIRED_CARDS)),
    *(("ours", table) for table in TABLES if table not in (REQUIRED, REQUIRED_CARDS)),
)


def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where a page is out of date.")
    ] = False,
) -> None:
    """Write the pages on settings, errors, metrics and indexes, and the two diagrams."""
    late = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in late.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        typer.echo(f"{'out of date' if check else 'written'}: docs/{path.name}")
    if check and late:
        raise typer.Exit(1)
    if not late:
        typer.echo("Every page is as the code has it.")


def pages() -> dict[Path, str]:
    """Every page by its path, as it ought to be."""
    writers: dict[str, Callable[[], str]] = {
        "settings.md": settings_page,
        "errors.md": errors_page,
        "indexes.md": indexes_page,
        "metrics.md": metrics_page,
        "architecture.md": architecture_page,
    }
    return {DOCS / name: write() for name, write in writers.items()}


def settings_page() -> str:
    """Every setting: variable, type, default, description."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name.upper()}`", _type(setting), _default(setting), setting.description or "")
        for name, setting in [*_by_part(Settings.model_fields), *_of_hosts()]
    ]
    told = (
        "Read from the environment, or from `.env` in the working directory. No secret has a"
        " default."
    )
    return _page("Settings", told, _table(("variable", "type", "default", "what it is"), rows))


def _by_part(fields: Mapping[str, FieldInfo]) -> list[tuple[str, FieldInfo]]:
    """The settings of every deployment first, then those of one part after the other."""
    order = [name for part in Settings.__mro__ for name in vars(part).get("__annotations__", ())]
    return sorted(fields.items(), key=lambda field: order.index(field[0]))


def _of_hosts() -> list[tuple[str, FieldInfo]]:
    """The settings that each Git host has."""
    return [
        (
            api_setting(service),
            FieldInfo(
                annotation=str,
                default=host.API,
                description=f"{service}'s API, for {host.DOMAIN}.",
            ),
        )
        for service, host in HOSTS.items()
    ]


_OF_ERRORS: Final = (
    "Each error is `application/problem+json` (RFC 9457) with one of these as its `code`;"
    " `errors` names the fields that are wrong, `requestId` the request in the logs. A code"
    " never changes its meaning, and more may be added: where one is new to you, go by"
    " `status`."
)
_OF_FIELDS: Final = (
    "## Fields\n\nEach of `errors` is `{pointer, code, detail}`: `pointer` names the field in"
    " the body (RFC 6901), or as `?name` in the query, `path:name` or `header:Name`; `code` is"
    " one of these, never with another meaning."
)


def errors_page() -> str:
    """Every problem that a client may be sent: code, status, meaning."""
    problems = sorted(_problems(), key=lambda problem: (problem.status, problem.code.value))
    rows = [
        (
            f'<a id="{problem.code.value}"></a>`{problem.code.value}`',
            str(problem.status),
            _summary(problem),
        )
        for problem in problems
    ]
    fields = [(f"`{code}`", meaning) for code, meaning in sorted(FIELD_CODES.items())]
    codes = _table(("code", "status", "when"), rows)
    parts = [codes, _OF_FIELDS, _table(("code", "what it says"), fields)]
    body = "\n\n".join(parts)
    return _page("Errors", _OF_ERRORS, body)


def metrics_page() -> str:
    """Everything that is measured: name, type, labels, meaning."""
    rows = [
        (f"`{name}`", str(each._type), ", ".join(f"`{label}`" for label in each._labelnames), said)
        for name, each in sorted(measures().items())
        if (said := each._documentation)
    ]
    told = (
        "What servers answer at `/metrics`, and workers at `SATCHEL_WORKER_METRICS_PORT`; a"
        " histogram has `_bucket`, `_sum` and `_count` after its name."
        " [observability.md](observability.md) tells what to look at."
    )
    return _page("Metrics", told, _table(("metric", "type", "labels", "what it is"), rows))


def measures() -> dict[str, MetricWrapperBase]:
    """What server and worker measure, by the name that Prometheus has for it."""
    importlib.import_module("app.main")
    found = {each for each in REGISTRY._collector_to_names if isinstance(each, MetricWrapperBase)}
    return {
        f"{each._name}_total" if each._type == "counter" else each._name: each for each in found
    }


def indexes_page() -> str:
    """Every index with the query that it is for."""
    told = (
        "`python -m scripts indexes plan` shows how a database differs from this, `stats` how each"
        " index is used. *required* are those of the requirements, *ours* what the API's lists and"
        " jobs need besides."
    )
    parts = [
        f"## {document.collection_name()}\n\n{_table(_INDEX_HEAD, list(_index_rows(document)))}"
        for document in INDEXES
    ]
    return _page("Indexes", told, "\n\n".join(parts))


def architecture_page() -> str:
    """`docs/architecture.md` with each diagram between its markers; the rest is as it stands.

    Raises:
        ValueError: the page lacks the markers.
    """
    path = DOCS / "architecture.md"
    text = (
        path.read_text()
        if path.exists()
        else "# Architecture\n\n" + "\n\n".join(map(between, _DIAGRAMS)) + "\n"
    )
    for name, diagram in zip(_DIAGRAMS, (rooms_diagram(), relations_diagram()), strict=True):
        begin, end = markers(name)
        before, found, rest = text.partition(begin)
        _, also, after = rest.partition(end)
        if not found or not also:
            raise ValueError(f"docs/{path.name} lacks the markers {begin} and {end}")
        text = before + between(name, diagram) + after
    return text


def between(name: str, diagram: str = "") -> str:
    """A diagram between the markers of its name."""
    return "\n".join((markers(name)[0], diagram, markers(name)[1]))


def markers(name: str) -> tuple[str, str]:
    """What stands before and behind a diagram."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def relations_diagram() -> str:
    """The relations table as a Mermaid diagram: parent, child, and on the line the field and what a
    deletion does."""
    lines = [
        f"    {relation.parent.collection_name()} {'||--o|' if relation.one_to_one else '||--o{'} "
        f'{relation.child.collection_name()} : "{relation.stored}, {relation.on_delete.value}"'
        for relation in RELATIONS
    ]
    return "\n".join(["```mermaid", "erDiagram", *lines, "```"])


def _page(title: str, told: str, body: str) -> str:
    return f"# {title}\n\n{told}\n\n{body}\n\n{_WRITTEN_BY}\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", r"\|") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _type(setting: FieldInfo) -> str:
    kind = _kind(setting.annotation)
    limits = {type(limit).__name__: limit for limit in setting.metadata}
    low, high = limits.get("Ge") or limits.get("Gt"), limits.get("Le")
    if low is None:
        return kind
    least = f"{low.ge}" if hasattr(low, "ge") else f"above {low.gt}"
    return (
        f"{kind}, {least} to {high.le}"
        if high
        else f"{kind}, {least}" + (" or more" if hasattr(low, "ge") else "")
    )


def _kind(annotation: Any) -> str:
    """A type in a reader's words."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) is list:
        return f"JSON list of {_kind(arguments[0])}"
    return _KINDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _default(setting: FieldInfo) -> str:
    value = setting.get_default(call_default_factory=True, validated_data={})
    if value is None or isinstance(value, SecretStr):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _problems() -> set[type[Problem]]:
    """Every subclass of Problem in the application, wherever it stands; of those with one code the
    most general."""
    importlib.import_module("app.main")
    found, ahead = set[type[Problem]](), [Problem]
    while ahead:
        problem = ahead.pop()
        ahead += problem.__subclasses__()
        if problem is not Problem and problem.__module__.startswith("app."):
            found.add(problem)
    return {each for each in found if each.__base__ not in found or each.code != each.__base__.code}


def _summary(documented: type) -> str:
    return " ".join((documented.__doc__ or "").partition("\n\n")[0].split())


def _index_rows(document: type[Stored]) -> Iterator[tuple[str, str, str, str]]:
    for name, table in _TABLES:
        for index in table.get(document, []):
            keys = ", ".join(f"{key} {direction}" for key, direction in index.keys.items())
            yield f"`{keys}`", _options(index), name, index.serves + _SPARE * index.spare


def _options(index: Index) -> str:
    said = []
    for name, value in index.options.items():
        if value is True:
            said.append(name)
        elif name == "partialFilterExpression":
            said.append(
                "where "
                + ", ".join(
                    f"`{field}: {json.dumps(condition)}`" for field, condition in value.items()
                )
            )
        else:
            said.append(f"{name} {value}")
    return ", ".join(said)
