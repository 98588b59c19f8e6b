"""`python -m scripts cleanup`: the worker's cleanup of sign-in, by hand (required:
`runCleanupTasks`)."""

import asyncio

import typer
from pymongo.errors import PyMongoError
from rich.console import Console

from scripts.target import NoTargetError, opened, reason


def cleanup() -> None:
    """Remove expired codes and sessions, and the hashes of rotated API keys whose overlap is
    over."""
    try:
        removed = asyncio.run(_clean_up())
    except (NoTargetError, PyMongoError) as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None
    for name, count in removed.items():
        typer.echo(f"{name}: {count:,} removed")


async def _clean_up() -> dict[str, int]:
    # a second to import, which `--help` need not wait for
    from app.auth.cleanup import clean_up  # noqa: PLC0415

    async with opened() as database:
        with Console(stderr=True).status(f"cleaning up `{database.name}`"):
            return await clean_up()
