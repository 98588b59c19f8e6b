"""The commands of `python -m scripts`: one line each; a command's module is imported when the
command is called."""

import importlib
import sys
from typing import Any, Final

import typer

COMMANDS: Final = {
    "run": (
        "scripts.run:run",
        "Start a whole Satchel: database, server, worker. What `make run` does.",
    ),
    "serve": ("scripts.serve:serve", "Start the HTTP server alone."),
    "worker": ("scripts.worker:main", "Start the worker alone: expiry, sweeps and other jobs."),
    "check-database": (
        "scripts.check_database:check_database",
        "Say whether the database is what Satchel needs; exit 1 if not.",
    ),
    "database-user": (
        "scripts.database_user:database_user",
        "Make Satchel's own user of the database, with the rights that it needs.",
    ),
    "admin-key": ("scripts.admin_key:admin_key", "Make an admin API key and print it, this once."),
    "keyring": (
        "scripts.keyring:cli",
        "Rotate the keys that seal tokens, re-encrypt, see which are needed.",
    ),
    "indexes": (
        "scripts.index_commands:cli",
        "Plan, apply and verify indexes, and see how they are used.",
    ),
    "shard": (
        "scripts.shard:cli",
        "Spread collections over the shards of a cluster, and see whether they are.",
    ),
    "integrity": (
        "scripts.integrity:cli",
        "Look for orphans and references across tenants, and mend them.",
    ),
    "migrate": (
        "scripts.migrate:migrate",
        "Take the steps that a database of an earlier version needs.",
    ),
    "data": ("scripts.data:cli", "Look at the app data that is stored."),
    "users": ("scripts.users:cli", "Bring people in from NDJSON or CSV."),
    "backup": (
        "scripts.backup:backup",
        "Back the whole database up, to a folder or a bucket, while requests go on.",
    ),
    "restore": ("scripts.restore:restore", "Restore a backup into an empty database."),
    "restored": (
        "scripts.restore:restored",
        "Finish a restore, by whatever it was done: sessions, versions, ETags, cursors.",
    ),
    "ledger": ("scripts.ledger:cli", "Compact the ledger of what was deleted and taken away."),
    "archive": (
        "scripts.archive:cli",
        "Archive raw events to files, restore them, list what is archived.",
    ),
    "demo": ("scripts.demo.command:demo", "Fill a running Satchel with a believable data set."),
    "openapi": (
        "scripts.openapi:openapi",
        "Write the document of the API, as /openapi.json has it.",
    ),
    "docs": ("scripts.docs:docs", "Write the pages of docs/ that follow from the code."),
    "bench-processes": (
        "scripts.bench.several:main",
        "Measure several server processes beside one.",
    ),
    "bench-ingest": (
        "scripts.bench.ingest:main",
        "Measure the events that come in through one connection.",
    ),
    "bench-writes": (
        "scripts.bench.writes:main",
        "Measure what a compare-and-set costs by the operation that it is sent as.",
    ),
    "bench-growth": (
        "scripts.bench.growth:main",
        "Measure requests beside ever more that is stored.",
    ),
    "bench-deletion": (
        "scripts.bench.deletion:main",
        "Delete a user of a million documents among other requests.",
    ),
    "bench-soak": (
        "scripts.bench.soak.command:main",
        "Freeze, kill and mislead a Satchel under load, and check it.",
    ),
    "bench-guards": (
        "scripts.bench.guards:main",
        "Give one parent children by many writers, guarded in two ways.",
    ),
    "bench-analytics": (
        "scripts.bench.analytics:main",
        "Measure analytics at growing sizes against plain aggregation.",
    ),
    "bench-backup": (
        "scripts.bench.backup:main",
        "Back up and restore, against a bare loop over the same documents.",
    ),
    "bench-recovery": (
        "scripts.bench.recovery:main",
        "Kill a backup, a restore and a replay at random moments, and compare.",
    ),
    "bench-archive": (
        "scripts.bench.archive:main",
        "Archive and restore a large day while events come in.",
    ),
    "keys": ("scripts.keys:cli", "List, rotate and prune the keys that sign access tokens."),
    "cleanup": (
        "scripts.cleanup:cleanup",
        "Remove expired codes, sessions and rotated secrets, as the worker does.",
    ),
    "bench-tokens": (
        "scripts.bench.tokens:main",
        "Measure what knowing the caller costs of reading one value.",
    ),
    "bench-overload": (
        "scripts.bench.overload:main",
        "Overload a Satchel and a bare handler, and compare what they serve.",
    ),
    "bench-sync": (
        "scripts.bench.sync:main",
        "Measure what following an app's data costs, and how soon others have a write.",
    ),
    "bench-import": (
        "scripts.bench.imports:main",
        "Measure what bringing people in costs against a bare insert of the same documents.",
    ),
    "bench-nothing-missed": (
        "scripts.bench.missed.command:main",
        "Write, poll and break a Satchel, and look for what clients have missed.",
    ),
    "bench-idle": (
        "scripts.bench.idle:main",
        "Count what an idle Satchel asks of MongoDB, and how late jobs begin.",
    ),
    "bench": (
        "scripts.bench.__main__:main",
        "Measure a Satchel against a bare handler on the same database.",
    ),
}
"""Name -> (`module:attribute`, its line in `--help`). The attribute is a function, or a typer app
with commands."""

_NOT_LET_IN: Final = (18, 8000)  # AuthenticationFailed, AtlasError

# Plain tracebacks: typer's own may show the values of variables, secrets among them.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Satchel's command lines.",
)


def main() -> None:
    """Run the command that the arguments name. Wrong settings, a database that refuses us and a
    damaged row are told in lines."""
    try:
        app(prog_name="python -m scripts")
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        sys.exit(told)


def _told(error: Exception) -> str | None:
    """What is to be said of an error that whoever set the settings can mend; None where it is
    another."""
    # `--help` is quick
    from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure  # noqa: PLC0415

    from app.outside.keyring import KeyRingError  # noqa: PLC0415
    from app.settings.faults import SettingsError  # noqa: PLC0415
    from models.unreadable import Unreadable  # noqa: PLC0415
    from scripts.target import NoTargetError  # noqa: PLC0415

    if isinstance(error, (SettingsError, NoTargetError, KeyRingError)):
        return str(error)
    if isinstance(error, Unreadable):
        return f"A row was damaged outside of Satchel, and cannot be read: {error}"
    if isinstance(error, OperationFailure) and error.code in _NOT_LET_IN:
        return "The database refuses the user or password of SATCHEL_MONGODB_URI."
    # its message may quote the string, and a password
    if isinstance(error, (ConfigurationError, InvalidURI)):
        return (
            "SATCHEL_MONGODB_URI is malformed: such as"
            " mongodb://user:password@db.example.com/?replicaSet=rs0, user name and password"
            " percent-encoded."
        )
    return None


def _register(name: str, target: str, summary: str) -> None:
    # The arguments, `--help` among them, go to the command unread: only its module knows its
    # options.
    unread = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @app.command(name, help=summary, context_settings=unread)
    def forward(context: typer.Context) -> None:
        _command(name, target)(args=context.args, prog_name=f"python -m scripts {name}")


def _command(name: str, target: str) -> typer.Typer:
    """The typer app behind a name.

    Raises:
        typer.Exit: its module is not there (code 1).
    """
    module, _, attribute = target.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        typer.echo(
            f"`{name}` is not part of this installation: there is no module {error.name}", err=True
        )
        raise typer.Exit(1) from None
    if isinstance(found, typer.Typer):
        return found
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(found)
    return single


for _name, (_target, _summary) in COMMANDS.items():
    _register(_name, _target, _summary)
