"""What docs/architecture.md promises of the tree, checked; each failure names what was
forgotten."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings
from scripts.rooms import imports_of, reached, room_graph, sources
from tests.forgotten import CHECKS
from tests.order import LONG
from tests.state import EXCEPTIONS, all_state

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "indexes", "models", "scripts")
MAY_IMPORT = {
    "models": {"models"},
    "indexes": {"indexes", "models"},
    "app": {"app", "indexes", "models"},
    "scripts": {"app", "indexes", "models", "scripts"},
}
DOMAINS = sorted(
    {path.relative_to(ROOT / "app").parts[0] for path in (ROOT / "app").glob("*/*routes.py")}
)
"""Every folder of `app/` with routes is one."""
LAYERS = [
    {"app.settings"},
    {"app.errors"},
    {"app.identity.access", "app.web.validation", "app.web.body", "app.web.etags",
    "app.web.openapi.patch_bodies"}
    | {"app.database.turns", "app.outside.addresses", "app.database.rights", "app.jobs.bell",
    "app.outside.places"}
    | {"app.database.lane", "app.database.loader", "app.jobs.backoff"},
    {"app.web.observability"},
    {"app.database"},
    {"app.jobs", "app.web.admission", "app.web.layers", "app.web.cursors"}
    | {"app.web.patches", "app.sync.hub", "app.web.streams.signals"},
    {"app.identity", "app.outside", "app.storage"},
    {"app.web", "app.web.layers.cross_origin", "app.web.admission.pauses"},
    {"app.ledger", "app.relations"},
    {"app.shown"},
    {"app.migrations"},
    {f"app.{domain}" for domain in DOMAINS} | {"app.recovery"},
    {"app.main", "app.work"},
]  # fmt: skip
"""The floors, the lowest first. A module stands where the longest of its names does that stands
here."""

SOURCES = sources()


def layer_of(module: str) -> int:
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        name = ".".join(parts[:length])
        for height, layer in enumerate(LAYERS):
            if name in layer:
                return height
    pytest.fail(f"{module} is in no layer: put it into LAYERS")


def test_rooms_import_one_way() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in SOURCES.items()
        for name in imports_of(tree)
        if name.split(".")[0] not in MAY_IMPORT[module.split(".")[0]]
    ]
    assert wrong == []


def test_layers_of_the_application_import_downwards() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in SOURCES.items()
        if module.startswith("app.")
        for name in imports_of(tree) & SOURCES.keys()
        if name.startswith("app.") and layer_of(name) > layer_of(module)
    ]
    assert wrong == []


ANALYTICS = ({"rollup"}, {"ingest", "archive", "query"})
"""The rooms of analytics, the lowest first; what stands beside them may import them all."""


def test_the_rooms_of_analytics_import_one_way() -> None:
    wrong = []
    for module, tree in SOURCES.items():
        room = module.removeprefix("app.analytics.").split(".")[0]
        floor = next((number for number, rooms in enumerate(ANALYTICS) if room in rooms), None)
        if not module.startswith("app.analytics.") or floor is None:
            continue
        allowed = {f"app.analytics.{each}" for rooms in ANALYTICS[:floor] for each in rooms} | {
            f"app.analytics.{room}"
        }
        named = {
            name for name in imports_of(tree) & SOURCES.keys() if name.startswith("app.analytics.")
        }
        wrong += [
            f"{module} imports {name}"
            for name in named
            if ".".join(name.split(".")[:3]) not in allowed
        ]
    assert wrong == []


MOST_MODULES = 15


def test_no_room_is_crowded() -> None:
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in (ROOT / "app").rglob("*")
        if folder.is_dir() and (count := len([*folder.glob("*.py")]) - 1) > MOST_MODULES
    }
    assert crowded == {}


def test_no_room_imports_itself_in_a_circle() -> None:
    graph = room_graph()
    assert len(graph) > len(DOMAINS)
    circles = [
        (room, named)
        for room, others in graph.items()
        for named in others
        if room in reached(graph, named) or named == room
    ]
    assert circles == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {name for name in top_imports(tree) if name in SOURCES and name != module}
        for module, tree in SOURCES.items()
    }
    while leaves := [module for module, needs in graph.items() if not needs]:
        graph = {
            module: needs - set(leaves) for module, needs in graph.items() if module not in leaves
        }
    assert graph == {}


def top_imports(tree: ast.Module) -> set[str]:
    """What a module imports of ours when it is imported itself, each by the module that defines
    it."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & SOURCES.keys()
            found |= submodules or {node.module}
    return found


def test_no_domain_imports_another_domains_routes() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in SOURCES.items()
        if module.startswith("app.") and module != "app.main"
        for name in imports_of(tree) & SOURCES.keys()
        if name.endswith("routes") and name != module
    ]
    assert wrong == []


def test_every_setting_is_described_and_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"SATCHEL_{name.upper()}" in page, (
            f"{name} is not in docs/settings.md: python -m scripts docs"
        )


def test_only_the_settings_read_the_environment() -> None:
    reads = ("attr='environ'", "attr='getenv'", "name='environ'", "name='getenv'")
    readers = {
        module for module, tree in SOURCES.items() if any(read in ast.dump(tree) for read in reads)
    }
    assert {module for module in readers if not module.startswith("scripts")} == set()


def test_every_file_says_what_it_is_for() -> None:
    silent = [
        module for module, tree in SOURCES.items() if tree.body and ast.get_docstring(tree) is None
    ]
    assert silent == []


HOT_WRITES = {"AppData.put", "Activity.create_activity", "Analytics.insert_rows"}
HOT_WRITES |= {"Analytics.insert_each", "Analytics.create_analytics", "write_each"}
GUARDED_OTHERWISE = {
    "app.users.service": "writes the user in the same transaction, which conflicts with a deletion"
}


def test_hot_inserts_show_their_lease_where_they_are_sent() -> None:
    """A lease that is held some awaits earlier may have run out when the insert is sent."""
    wrong = []
    for module, tree in SOURCES.items():
        if not module.startswith("app.") or module in GUARDED_OTHERWISE:
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.AsyncFunctionDef):
                lines = [ast.unparse(statement) for statement in function.body]
                for number, line in enumerate(lines):
                    sends = any(f"{call}(" in line for call in HOT_WRITES)
                    shown = " ".join(lines[max(0, number - 1) : number + 1])
                    if sends and "lease" not in shown and "hold_leases(" not in shown:
                        wrong.append(f"{module}.{function.name}: {line[:80]}")
    assert wrong == []


MACHINES_CLOCK = {"models.clock", "app.web.observability", "app.storage.folder"}
"""Who may ask the machine for the time: the clock itself, log lines, and what compares with its own
files."""


def test_the_time_is_the_databases() -> None:
    """A process whose machine's clock is wrong must not write its own time, or compare the others'
    with it."""
    asking = {
        name
        for name, tree in SOURCES.items()
        for node in ast.walk(tree)
        if name.split(".")[0] in {"app", "models"}
        and isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
    }
    assert asking == MACHINES_CLOCK


def test_no_test_imports_another() -> None:
    """What several need stands in `tests/factories`, in a `conftest.py`, or in a module named after
    what it holds."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {node.module}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and is_a_test(node)
    ]
    assert wrong == []


def is_a_test(node: ast.ImportFrom) -> bool:
    """Whether a module of tests is imported, or imported from."""
    names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    return any(name.startswith("test_") for name in names)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from tests.app.sync.test_batch import put", True),
        ("from tests.app.sync import test_batch", True),
        ("from tests.factories.batches import put", False),
    ],
)
def test_imports_of_tests_are_found(source: str, wrong: bool) -> None:
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ImportFrom)
    assert is_a_test(node) == wrong


def test_the_long_files_of_tests_are_there() -> None:
    """Else one that was renamed is given out last, and the others' cores wait for it."""
    assert [name for name in LONG if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_forgotten(check: Callable[[], list[str]]) -> None:
    """Each sentence names the file that has to be told."""
    found = check()
    assert not found, "\n".join(found)


def test_no_module_keeps_state() -> None:
    assert all_state() == EXCEPTIONS.keys()


SHARED = {"routes", "service", "schemas", "jobs", "deletion", "examples", "openapi"}
"""What a domain's modules of these names hold is in docs/architecture.md; no other name says it."""
NOT_SHARED = {"views", "handlers", "controllers", "utils", "helpers", "common", "types", "misc"}


def modules_of_domains() -> dict[str, ast.Module]:
    domains = tuple(f"app.{domain}." for domain in DOMAINS)
    return {name: tree for name, tree in SOURCES.items() if name.startswith(domains)}


def test_every_domain_names_its_modules_alike() -> None:
    modules = modules_of_domains()
    called = {name for name in modules if name.split(".")[-1] in NOT_SHARED}
    assert called == set()


def test_routers_are_made_in_modules_of_routes() -> None:
    makes = {
        name
        for name, tree in modules_of_domains().items()
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Router(")
    }
    assert {name for name in makes if not name.endswith("routes")} == set()


def test_jobs_and_hooks_are_where_every_domain_has_them() -> None:
    """`handlers` in `jobs.py`, `HOOKS` in `deletion.py`."""
    wrong = []
    for name, tree in modules_of_domains().items():
        kind, text = ".".join(name.split(".")[2:]), ast.unparse(tree)
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        wrong += [name] if ("handlers" in defined) != (kind == "jobs") else []
        wrong += [name] if ("HOOKS: Final" in text) != (kind == "deletion") else []
    assert wrong == []
