"""`python -m scripts check-database`: does the database answer, and is it what Satchel needs?"""

import asyncio
from typing import Any

import typer
from pymongo.errors import PyMongoError

from app.settings import load_settings
from scripts.target import NoTargetError, opened, reason, resolve_uri, without_password


def check_database() -> None:
    """Ping the database and count its users. Exits 1, with the reason, where that fails or there is
    no replica set."""
    settings = load_settings()
    try:
        uri = resolve_uri(settings)
        asyncio.run(_check(uri))
    except NoTargetError as error:
        _fail(str(error))
    except PyMongoError as error:
        _fail(f"{without_password(uri)}: {reason(error)}")


async def _check(uri: str) -> None:
    from models.user import User  # noqa: PLC0415

    async with opened(uri=uri) as database:
        await database.command("ping")
        version = (await database.client.server_info())["version"]
        state = _replica_set(await database.command("hello"))
        users = await User.raw().estimated_document_count()
    typer.echo(
        f"MongoDB {version} at {without_password(uri)}: {state}, {users:,} users in"
        f" `{database.name}`"
    )


def _replica_set(hello: dict[str, Any]) -> str:
    """The state of the replica set.

    Raises:
        typer.Exit: there is none, so no transaction would work (code 1).
    """
    if "setName" not in hello:
        _fail(
            "This MongoDB is not a replica set: transactions and change streams need one"
            " (rs.initiate())."
        )
    role = "primary" if hello.get("isWritablePrimary") else "no primary here"
    return f"replica set {hello['setName']} with {len(hello.get('hosts', []))} member(s), {role}"


def _fail(reason: str) -> None:
    typer.echo(f"The check failed: {reason}", err=True)
    raise typer.Exit(1)
