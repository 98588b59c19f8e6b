"""What the tests of the npm packages share: commands, the types of this tree's document, bundles,
what scenarios came to, and packages unpacked as npm does."""

import json
import os
import subprocess
import tarfile
from pathlib import Path

from scripts.openapi import document
from tests.serving import ROOT

CLIENT, ADAPTERS = ROOT / "clients" / "typescript", ROOT / "clients" / "adapters"
SCENARIOS = ROOT / "clients" / "scenarios.json"
PACKAGE = ROOT / "clients" / "python" / "satchel_client"
TODO = ROOT / "clients" / "examples" / "todo"
_TOOLS = Path("node_modules") / ".bin"
_SECONDS = 300


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """What a command says; it must succeed."""
    made = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert made.returncode == 0, (made.stdout + made.stderr)[-4000:]
    return made.stdout


def compiled(folder: Path, project: str) -> None:
    """Have a package's own TypeScript compile one of its projects."""
    run(folder / _TOOLS / "tsc", "-p", project, folder=folder)


def typed(package: Path, folder: Path) -> Path:
    """The client's types, made of this tree's document: they are not kept, so they are never those
    of another one."""
    source, target = folder / "openapi.json", package / "src" / "schema.d.ts"
    source.write_text(document())
    run(CLIENT / _TOOLS / "openapi-typescript", source, "-o", target, folder=folder)
    return target


def bundled(package: Path, source: str, target: Path, *options: str) -> Path:
    """A script of a package with all that it imports."""
    esbuild = package / _TOOLS / "esbuild"
    options = ("--bundle", "--target=es2022", f"--outfile={target}", *options)
    run(esbuild, source, *options, folder=package)
    return target


def bundle(target: Path) -> Path:
    """The client as a page has it."""
    return bundled(CLIENT, "src/index.ts", target, "--format=esm", "--minify")


def outcomes_of(
    script: Path, *files: Path, folder: Path, world: dict[str, str]
) -> dict[str, str | None]:
    """What failed in each scenario of the files, by its name; None where it held."""
    said = run("node", script, folder=folder, SCENARIOS=":".join(map(str, files)), **world)
    lines = [line for line in said.splitlines() if line.startswith('{"name"')]
    return {told["name"]: told["failed"] for told in map(json.loads, lines)}


def installed(package: Path, modules: Path, name: str) -> Path:
    """Pack a package that was built as it would be published, and unpack it as npm does."""
    packed = run("npm", "pack", "--silent", "--ignore-scripts", folder=package).strip()
    modules.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package / packed) as archive:
        archive.extractall(modules, filter="data")
    return (modules / "package").rename(modules / name)
