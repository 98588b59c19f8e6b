"""Clients that public generators make of this tree's document compile, and tell the main story to a
real server.

The generators are installed by `make .venv/test.stamp`: `package-lock.json` and `requirements.txt`
name them exactly.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.serving import ROOT, Served, served

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
_SECONDS = 240


@pytest.fixture(scope="module")
def server(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(mongodb_uri, tmp_path_factory.mktemp("clients")) as found:
        yield found


@pytest.fixture
def workshop(server: Served, tmp_path: Path) -> Path:
    """A folder with the document that the server gives, and the stories."""
    for part in HERE.iterdir():
        if part.suffix in (".ts", ".json", ".ini") or part.name.startswith("story"):
            shutil.copy(part, tmp_path)
    answer = httpx2.get(f"{server.url}/openapi.json")
    assert answer.status_code == 200
    (tmp_path / "openapi.json").write_bytes(answer.content)
    return tmp_path


def run(workshop: Path, server: Served, *command: str | Path) -> str:
    """What a command says; it must succeed."""
    tools = [str(PYTHON.parent), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(tools),
        "SATCHEL_URL": server.url,
        "SATCHEL_KEY": server.admin,
        "NO_COLOR": "1",
    }
    made = subprocess.run(
        [str(part) for part in command],
        cwd=workshop,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    said = made.stdout + made.stderr
    assert made.returncode == 0, said[-4000:]
    return said


def needed(path: Path) -> Path:
    assert path.exists(), f"{path} is missing: make .venv/test.stamp"
    return path


STREAMED = {"POST /v1/users/import", "GET /v1/users/{userId}/export"}
"""What is sent in lines: this generator knows no such body."""


def test_typescript(workshop: Path, server: Served) -> None:
    """openapi-typescript, `tsc --strict`, and openapi-fetch in Node."""
    (workshop / "node_modules").symlink_to(needed(NODE_MODULES))
    tools = NODE_MODULES / ".bin"
    run(workshop, server, tools / "openapi-typescript", "openapi.json", "-o", "schema.d.ts")
    run(workshop, server, tools / "tsc", "-p", ".")
    assert run(workshop, server, "node", "out/story.js") == "told\n"


def test_openapi_python_client(workshop: Path, server: Served) -> None:
    """openapi-python-client, and `mypy --strict` over what it makes and what uses it."""
    generate = (
        needed(PYTHON).parent / "openapi-python-client",
        "generate",
        "--path",
        "openapi.json",
    )
    said = run(workshop, server, *generate, "--meta", "none", "--output-path", "satchel_api")
    warnings = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
    patches = [line for line in warnings if line.startswith("WARNING parsing PATCH ")]
    others = {" ".join(line.split()[2:4]) for line in warnings if line not in patches}
    assert others == STREAMED, said
    assert said.count("Invalid content type") == len(patches)  # see app.web.openapi.patch_bodies
    mypy = (
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        "mypy.ini",
        "--python-executable",
        PYTHON,
    )
    run(workshop, server, *mypy, "story.py", "satchel_api")
    assert run(workshop, server, PYTHON, "story.py") == "told\n"


def test_datamodel_code_generator(workshop: Path, server: Served) -> None:
    """datamodel-code-generator's models, by which plain requests are made and answers read."""
    options = ["--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"]
    options += ["--target-python-version", "3.11", "--formatters", "builtin"]
    generate = needed(PYTHON).parent / "datamodel-codegen"
    run(
        workshop,
        server,
        generate,
        "--input",
        "openapi.json",
        "--output",
        "satchel_models.py",
        *options,
    )
    assert run(workshop, server, PYTHON, "story_models.py") == "told\n"
