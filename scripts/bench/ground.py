"""What a run stands on: a folder, a MongoDB in it, and the settings of those who use it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import typer

from app.settings import Settings
from scripts.bench.data import Plan
from scripts.bench.processes import BenchError, LoadGenerator, Server, environment
from scripts.mongod import Embedded, MongodError, start_mongod
from scripts.serve import FACTORY, HTTP


@contextmanager
def faults_told() -> Iterator[None]:
    """Say why a run could not be made, and exit 1."""
    try:
        yield
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run takes place; its stack ends and removes everything.

    Attributes:
        stack: ends what is started.
        folder: of data and logs.
        mongod: the database.
        settings: of whoever uses it.
        variables: the environment with these settings.
    """

    stack: ExitStack
    folder: Path
    mongod: Embedded
    settings: Settings
    variables: dict[str, str]

    @classmethod
    def lay(cls, stack: ExitStack, **chosen: Any) -> Self:
        """Start a MongoDB in a new folder, for these settings beside its own."""
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder))
        chosen = {"mongodb_uri": mongod.uri, "data_dir": folder, **chosen}
        settings = Settings.model_validate(chosen)
        return cls(stack, folder, mongod, settings, environment(list(chosen.items())))

    def serve(self, name: str = "satchel", factory: str = FACTORY, http: str = HTTP) -> Server:
        """A server, once it listens."""
        server = Server.start(
            name, factory, environment=self.variables, folder=self.folder, http=http
        )
        return self.stack.enter_context(server)

    def load(self, plan: Plan, module: str = "scripts.bench.load") -> LoadGenerator:
        """A load generator that knows a plan."""
        return self.stack.enter_context(LoadGenerator.start(plan, module))
