"""The rooms of the tree and which of them import which, read from the source and drawn for
`docs/architecture.md`."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent.parent
_TOP: Final = ("scripts", "app", "indexes", "models")
_START: Final = "app.main, app.work"
"""`main` and `work` put everything together, and stand for one room."""
_DOMAINS: Final = "domains"
_GROUND: Final = "app.web ground floor"
"""What of `web` knows no caller, and so stands below `identity`."""
_CARRIERS: Final = frozenset(
    {
        "database",
        "errors",
        "identity",
        "jobs",
        "main",
        "migrations",
        "outside",
        "relations",
        "settings",
        "shown",
        "web",
        "work",
    }
)
"""What is in `app/` besides domains."""

Graph = Mapping[str, set[str]]


def rooms_diagram() -> str:
    """The rooms as a Mermaid flowchart: an arrow goes to what is imported, and is left out where
    others imply it."""
    graph = room_graph()
    domains = sorted(room for room in graph if is_domain(room))
    lines = ["```mermaid", "flowchart TD", f"    subgraph {_DOMAINS}"]
    lines += [f'        {_id(room)}["{room.removeprefix("app.")}"]' for room in domains]
    lines += [
        f"        {_id(one)} --> {_id(other)}" for one, other in _arrows(_within(graph, domains))
    ]
    lines.append("    end")
    outer = _joined(graph)
    lines += [
        f'    {_id(room)}["{room.replace("app.", "")}"]'
        for room in sorted(outer)
        if room != _DOMAINS
    ]
    lines += [f"    {_id(one)} --> {_id(other)}" for one, other in _arrows(outer)]
    return "\n".join([*lines, "```"])


def _knows_callers(modules: Iterable[str]) -> bool:
    return any(name.startswith("app.identity") for name in modules)


def room_graph() -> dict[str, set[str]]:
    """Room -> the rooms that its modules import. A room is a folder of `app/`, or one of the other
    top folders."""
    found = sources()
    imports = {
        module: {name for name in imports_of(tree) if name in found}
        for module, tree in found.items()
    }
    rooms = {module: room_of(module) for module in imports}
    rooms |= {
        module: _GROUND
        for module, room in rooms.items()
        if room == "app.web" and not _knows_callers(reached(imports, module))
    }
    graph: dict[str, set[str]] = {}
    for module, named in imports.items():
        graph.setdefault(rooms[module], set()).update(
            {rooms[name] for name in named} - {rooms[module], "app"}
        )
    graph.pop("app", None)
    return graph


def sources() -> dict[str, ast.Module]:
    """Module name -> its syntax tree, of every module that is not a test."""
    paths = [path for room in _TOP for path in (_ROOT / room).rglob("*.py")]
    names = {
        path: ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
    }
    return {name: ast.parse(path.read_text()) for path, name in names.items()}


def imports_of(tree: ast.Module) -> set[str]:
    """What a module imports of ours, functions' own imports among them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in _TOP}


def room_of(module: str) -> str:
    """`app.web` of `app.web.hot`, `models` of `models.user`."""
    top, _, rest = module.partition(".")
    if top != "app" or not rest:
        return top
    first = rest.split(".")[0]
    return _START if first in ("main", "work") else f"app.{first}"


def is_domain(room: str) -> bool:
    """Whether a room is a folder of `app/` with routes, and rules that span collections."""
    return (
        room.startswith("app.")
        and room not in (_START, _GROUND)
        and room.removeprefix("app.") not in _CARRIERS
    )


def _within(graph: Graph, rooms: list[str]) -> dict[str, set[str]]:
    return {room: graph[room] & set(rooms) for room in rooms}


def _joined(graph: Graph) -> dict[str, set[str]]:
    """The same graph with all domains as one room."""
    joined: dict[str, set[str]] = {}
    for room, named in graph.items():
        one = _DOMAINS if is_domain(room) else room
        joined.setdefault(one, set()).update(
            {_DOMAINS if is_domain(each) else each for each in named} - {one}
        )
    return joined


def _arrows(graph: Graph) -> Iterator[tuple[str, str]]:
    """The arrows from which all others follow."""
    left = {room: set(named) for room, named in graph.items()}
    for room in sorted(graph):
        for named in sorted(graph[room]):
            left[room].remove(named)
            if named not in reached(left, room):
                left[room].add(named)
                yield room, named


def reached(graph: Graph, start: str) -> set[str]:
    """What can be had from a room by its arrows, along any way."""
    found, ahead = set[str](), [*graph[start]]
    while ahead:
        room = ahead.pop()
        if room not in found and room != start:
            found.add(room)
            ahead += graph.get(room, ())
    return found


def _id(room: str) -> str:
    return "start" if room == _START else room.removeprefix("app.").replace(" ", "_")
