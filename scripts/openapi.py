"""`python -m scripts openapi`: the document of the API, as `/openapi.json` has it, without a
server."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from app.main import create_app
from app.settings import Settings


def openapi(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; to the terminal if not said.")
    ] = None,
) -> None:
    """Write the document that clients are generated from."""
    text = document()
    if file is None:
        typer.echo(text)
    else:
        file.write_text(f"{text}\n")


def document() -> str:
    """The document as JSON, the same in every deployment."""
    settings = Settings.model_construct(mongodb_uri=SecretStr("mongodb://127.0.0.1"))
    return json.dumps(create_app(settings).openapi(), indent=1, ensure_ascii=False)
