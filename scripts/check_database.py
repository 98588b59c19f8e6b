"""`python -m scripts check-database`: does the database answer, and is it what Satchel needs?"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import typer
from pymongo.errors import PyMongoError

from app.settings import Settings, load_settings
from scripts.database_role import has_more, lacking
from scripts.target import NoTargetError, opened, reason, resolve_uri, without_password

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

_LACKING: Final = "the user lacks rights (`database-user`): {}"
_NAMED: Final = 5
_MORE: Final = (
    "The user of SATCHEL_MONGODB_URI may do more than Satchel needs:"
    " `python -m scripts database-user` makes one that may not."
)


def check_database() -> None:
    """Ping the database, count its users, and name what it lacks: rights, indexes, steps.

    Exits 1, with the reason, where it lacks something, does not answer, or is no replica set.
    """
    settings = load_settings()
    try:
        uri = resolve_uri(settings)
        faults = asyncio.run(_check(settings, uri))
    except NoTargetError as error:
        _fail(str(error))
    except PyMongoError as error:
        _fail(f"{without_password(uri)}: {reason(error)}")
    if faults:
        _fail("; ".join(faults))


async def _check(settings: Settings, uri: str) -> list[str]:
    """Say what the database is. What it lacks."""
    from models.user import User  # noqa: PLC0415  # slow imports, here and below

    async with opened(settings, uri=uri) as database:
        await database.command("ping")
        version = (await database.client.server_info())["version"]
        state = _replica_set(await database.command("hello"))
        users = await User.raw().estimated_document_count()
        typer.echo(
            f"MongoDB {version} at {without_password(uri)}: {state}, {users:,} users in"
            f" `{database.name}`"
        )
        status = await database.command("connectionStatus", showPrivileges=True)
        if has_more(status, database.name):
            typer.echo(_MORE)
        rights = lacking(status, database.name)
        faults = [_LACKING.format(", ".join(rights))] if rights else []
        return faults + await _unready(settings, database)


async def _unready(settings: Settings, database: "AsyncDatabase[Any]") -> list[str]:
    """What `/readyz` would say is pending."""
    from app import migrations  # noqa: PLC0415
    from indexes import sync  # noqa: PLC0415

    faults = []
    if missing := await sync.missing(database, lean=settings.lean_indexes):
        rest = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        named = ", ".join(missing[:_NAMED])
        faults.append(f"indexes are missing (`indexes apply`): {named}{rest}")
    if steps := await migrations.pending():
        faults.append(f"steps are to be taken (`migrate`): {', '.join(steps)}")
    return faults


def _replica_set(hello: dict[str, Any]) -> str:
    """The state of the replica set, or that it is a cluster's router.

    Raises:
        typer.Exit: there is none, so no transaction would work (code 1).
    """
    if hello.get("msg") == "isdbgrid":
        return "a router of a sharded cluster"
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
