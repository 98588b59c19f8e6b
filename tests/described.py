"""The document of this tree, and its operations by method and path, for tests that look at what it
says."""

import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings


def _application() -> FastAPI:
    with tempfile.TemporaryDirectory() as folder:
        return create_app(
            Settings(_env_file=None, mongodb_uri="mongodb://127.0.0.1:9", data_dir=Path(folder))
        )


APP = _application()
DOCUMENT = APP.openapi()
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def examples_of(described: dict[str, Any]) -> list[Any]:
    """The examples that a media type, a parameter or a schema shows."""
    shown = described.get("examples", {})
    listed = shown if isinstance(shown, list) else [named["value"] for named in shown.values()]
    return [*listed, *([described["example"]] if "example" in described else [])]
