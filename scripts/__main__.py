"""`python -m scripts`."""

import sys

try:
    from scripts.cli import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] in (
        "app",
        "indexes",
        "models",
        "scripts",
    ):
        raise
    sys.exit(
        f"{sys.executable} lacks {error.name}. Use `.venv/bin/python -m scripts`; `make run` makes"
        " .venv."
    )

if __name__ == "__main__":
    main()
