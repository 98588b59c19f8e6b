"""A command of `python -m scripts` in a process that kills itself (`kill -9`) at the n-th call of a
function: `python -m tests.app.recovery.killed MODULE:NAME N COMMAND ...`."""

import importlib
import os
import signal
import sys
from typing import Any


def main(place: str, count: str, arguments: list[str]) -> None:
    module_name, _, name = place.partition(":")
    holder: Any = importlib.import_module(module_name)
    *path, last = name.split(".")
    for each in path:
        holder = getattr(holder, each)
    real, calls = getattr(holder, last), 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(holder, last, counted)
    from scripts.cli import app

    app(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
