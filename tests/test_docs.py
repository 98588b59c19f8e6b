"""The pages that are made from the code are as the code has them, and leave nothing out."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.errors.codes import Code
from app.settings import Settings
from indexes.definitions import INDEXES
from models.relations import RELATIONS
from scripts import docs
from scripts.cli import app
from scripts.rooms import rooms_diagram

PAGES = docs.pages()
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_current(path):
    assert path.exists() and path.read_text() == PAGES[path], "run `python -m scripts docs`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name):
    row = re.compile(
        rf"^\| `SATCHEL_{name.upper()}` \| [^|]+ \| [^|]+ \| [^|]+\. \|$", re.MULTILINE
    )
    assert row.search(docs.settings_page())


def test_no_secret_shows_a_default():
    page = docs.settings_page()
    assert {line.split(" | ")[2] for line in page.splitlines() if "| secret |" in line} == {"none"}


@pytest.mark.parametrize("code", Code, ids=str)
def test_every_error_code_is_documented_once(code):
    row = re.compile(
        rf'^\| <a id="{code.value}"></a>`{code.value}` \| [45]\d\d \| \S.*\. \|$', re.MULTILINE
    )
    assert len(row.findall(docs.errors_page())) == 1


def test_every_index_is_listed_with_its_query():
    page = docs.indexes_page()
    for index in (index for table in INDEXES.values() for index in table):
        spare = "; no operation needs it" if index.spare else ""
        assert index.serves and f" | {index.serves}{spare} |" in page
    assert page.count("\n| `") == sum(map(len, INDEXES.values()))


def test_the_diagram_has_a_line_for_each_relation():
    lines = docs.relations_diagram().splitlines()
    assert lines[:2] == ["```mermaid", "erDiagram"] and len(lines) == len(RELATIONS) + 3
    assert '    users ||--o| profiles : "userId, CASCADE"' in lines
    assert '    users ||--o{ activities : "userId, CASCADE"' in lines


def test_a_page_that_is_out_of_date_fails_the_check_and_is_written_without_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    architecture = tmp_path / "architecture.md"
    old = "\n".join(docs.between(name, "old") for name in ("rooms", "relations"))
    architecture.write_text(f"# Ours\n\nbefore\n{old}\nafter\n")
    run = CliRunner().invoke
    assert run(app, ["docs", "--check"]).exit_code == 1
    assert not (tmp_path / "settings.md").exists()
    assert run(app, ["docs"]).exit_code == 0
    assert run(app, ["docs", "--check"]).exit_code == 0
    drawn = (
        docs.between("rooms", rooms_diagram())
        + "\n"
        + docs.between("relations", docs.relations_diagram())
    )
    assert architecture.read_text() == f"# Ours\n\nbefore\n{drawn}\nafter\n"


def test_an_architecture_page_without_markers_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    (tmp_path / "architecture.md").write_text("# Ours\n")
    with pytest.raises(ValueError, match="lacks the markers"):
        docs.pages()


def test_no_page_has_the_marks_of_a_conflict() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 20
    assert [page.name for page in pages if "<<<<<<< " in page.read_text()] == []
