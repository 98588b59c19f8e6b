"""The wheel that `pip install .` makes holds what Satchel needs, and starts."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx2
import pytest

from app.console.routes import _STATIC as DOCS_FILES
from tests.serving import served

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "models", "indexes", "scripts")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def tracked(*where: str) -> list[str]:
    """The files of the repository that are there, by their paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *where], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no remains of an earlier build are in it and none are left."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked(*ROOMS, "pyproject.toml", "README.md", "LICENSE"):
        (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / "source" / path)
    built = [
        *PIP,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(folder / "source"),
    ]
    done = subprocess.run(built, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [found] = folder.glob("satchel-*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = tracked(*ROOMS)
    assert any(path.endswith(".html") for path in files)
    assert [path for path in files if path not in inside] == []
    assert {path.split("/")[0] for path in inside if ".dist-info/" not in path} == set(ROOMS)


def test_an_installed_wheel_starts_and_serves_its_pages(
    wheel: Path, mongodb_uri: str, tmp_path: Path
) -> None:
    target = tmp_path / "site"
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    where = [
        sys.executable,
        "-c",
        "import app, scripts; print(app.__file__); print(scripts.__file__)",
    ]
    found = subprocess.run(
        where, cwd=target, check=True, capture_output=True, text=True
    ).stdout.split()
    assert [Path(path).is_relative_to(target) for path in found] == [True, True]
    with served(mongodb_uri, tmp_path, root=target) as satchel:
        paths = ["/docs", "/docs/errors", "/console", "/openapi.json"]
        paths += [f"/docs/static/{name}" for name in DOCS_FILES]
        paths += [f"/console/static/{name}" for name in ("chart.js", "console.css", "console.js")]
        answers = {path: httpx2.get(f"{satchel.url}{path}") for path in paths}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(
            paths, 200
        )
        assert all(answer.content for answer in answers.values())
