"""`python -m scripts database-user`: Satchel's own user of its database, with the rights that it
needs."""

import asyncio
import json
import sys
from typing import Annotated, Any, Final

import typer
from pymongo.errors import OperationFailure, PyMongoError

from app.settings import Settings, load_settings
from scripts.database_role import ADMIN, ROLE, privileges
from scripts.target import reason, without_password

_IS_THERE: Final = (51002, 51003)  # a role, a user
_SCRIPT: Final = """\
// For mongosh, as a user who may make others: a role with Satchel's rights, and its user.
const admin = db.getSiblingDB({admin});
const privileges = {privileges};
if (admin.getRole({role})) admin.updateRole({role}, {{privileges, roles: []}});
else admin.createRole({{role: {role}, privileges, roles: []}});
const roles = [{{role: {role}, db: {admin}}}];
if (admin.getUser({user})) admin.updateUser({user}, {{roles}});
else admin.createUser({{user: {user}, pwd: passwordPrompt(), roles}});"""


class UserError(Exception):
    """The user cannot be made; the message says why."""


def database_user(
    admin_from_stdin: Annotated[
        bool,
        typer.Option(
            "--admin-uri-from-stdin",
            help="Make the user, as the administrator whose connection string standard input has.",
        ),
    ] = False,
) -> None:
    """Print what makes Satchel's role and user in mongosh, or make both.

    The user, its password and its database of authentication are those of SATCHEL_MONGODB_URI. One
    that is there gets that password, and this role instead of all others. To be done at each new
    version: the rights may have changed.
    """
    if not admin_from_stdin:
        typer.echo(script(load_settings()))
        return
    administrator = sys.stdin.readline().strip()
    try:
        typer.echo(asyncio.run(make(load_settings(), administrator)))
    except (UserError, PyMongoError) as error:
        typer.echo(f"{without_password(administrator)}: {reason(error)}", err=True)
        raise typer.Exit(1) from None


def script(settings: Settings) -> str:
    """What does it in mongosh."""
    try:
        name = _asked(settings)[0]
    except UserError:
        name = ROLE
    return _SCRIPT.format(
        admin=json.dumps(ADMIN),
        role=json.dumps(ROLE),
        user=json.dumps(name),
        privileges=json.dumps(privileges(settings.database), indent=2),
    )


async def make(settings: Settings, administrator: str) -> str:
    """Make the role and the user, or have them as they should be. What was done.

    Raises:
        UserError: SATCHEL_MONGODB_URI names no user, or the administrator.
        PyMongoError: the database does not answer, or the administrator may not do it.
    """
    from app.database import connect  # noqa: PLC0415  # a second to import

    user, password, source = _asked(settings)
    async with connect(settings, administrator, bounded=False) as client:
        status = await client.admin.command("connectionStatus")
        if {"user": user, "db": source} in status["authInfo"]["authenticatedUsers"]:
            raise UserError(
                f"{user} is the administrator: name another user in SATCHEL_MONGODB_URI, else this"
                " one loses its rights"
            )
        rights: dict[str, Any] = {"privileges": privileges(settings.database), "roles": []}
        await _make(client[ADMIN], "Role", ROLE, rights)
        roles = {"pwd": password, "roles": [{"role": ROLE, "db": ADMIN}]}
        made = await _make(client[source], "User", user, roles)
    return f"{user} of {source} is {'made' if made else 'there'}, with the role {ROLE} alone"


async def _make(database: Any, kind: str, name: str, fields: dict[str, Any]) -> bool:
    """Make a role or a user, or have it as it should be. Whether it was made."""
    try:
        await database.command(f"create{kind}", name, **fields)
    except OperationFailure as error:
        if error.code not in _IS_THERE:
            raise
        await database.command(f"update{kind}", name, **fields)
        return False
    return True


def _asked(settings: Settings) -> tuple[str, str, str]:
    """Name, password and database of the user that SATCHEL_MONGODB_URI has."""
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415  # as above

    if settings.mongodb_uri is not None:
        found = parse_uri(settings.mongodb_uri.get_secret_value(), validate=True)
        if found["username"] is not None and found["password"] is not None:
            source = found["options"].get("authSource") or found["database"] or ADMIN
            return str(found["username"]), str(found["password"]), str(source)
    raise UserError("SATCHEL_MONGODB_URI names no user with a password")
