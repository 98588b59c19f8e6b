"""`python -m scripts keys`: the keys that sign access tokens. Running servers follow without a
restart."""

from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from app.settings import Settings, load_settings
from models.base import now
from scripts.tables import table

if TYPE_CHECKING:
    from app.identity.signing_keys import SigningKey

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The keys that sign access tokens."
)


@cli.callback()
def _keys() -> None:
    """The keys that sign access tokens."""


@cli.command()
def rotate() -> None:
    """Add a key that signs from now on. The one before verifies until the last token that it signed
    is dead."""
    from app.identity.signing_keys import ensure_keys, rotate  # noqa: PLC0415

    settings = load_settings()
    try:
        ensure_keys(settings)
        key = rotate(settings.token_key_path)
    except (OSError, ValueError) as error:
        _fail(error)
    typer.echo(f"{key.kid} signs from now on, in {settings.token_key_path}")


@cli.command(name="list")
def list_keys() -> None:
    """Show each key's id, when it was made, and what it is for."""
    from app.identity.signing_keys import living  # noqa: PLC0415

    keys = _read(load_settings())
    verifying = {key.kid for key in living(keys, now())}
    shown = table("Signing keys", ["kid", "made", "use"])
    for key in keys:
        use = (
            "signs"
            if key is keys[-1]
            else "verifies"
            if key.kid in verifying
            else "none: keys prune removes it"
        )
        shown.add_row(key.kid, key.made.isoformat() if key.made else "-", use)
    Console(markup=False).print(shown)


@cli.command()
def prune() -> None:
    """Remove the keys that verify nothing any more."""
    from app.identity.signing_keys import prune  # noqa: PLC0415

    try:
        removed = prune(load_settings().token_key_path)
    except (OSError, ValueError) as error:
        _fail(error)
    typer.echo(f"{removed} removed")


def _read(settings: Settings) -> "list[SigningKey]":
    from app.identity.signing_keys import read_keys  # noqa: PLC0415

    try:
        return read_keys(settings.token_key_path)
    except (OSError, ValueError) as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1)
