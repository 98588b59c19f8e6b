"""Command lines over the packages beside this one: `python -m scripts --help`."""
