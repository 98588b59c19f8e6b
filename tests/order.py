"""The order in which the files of tests are given to the processes of `make test`."""

from itertools import chain
from typing import Final

import pytest

LONG: Final = (
    "tests/scripts/test_bench.py",
    "tests/clients/test_browser_libraries.py",
    "tests/scripts/test_run.py",
    "tests/clients/test_generated_clients.py",
    "tests/clients/test_adapters.py",
    "tests/scripts/test_soak.py",
    "tests/app/analytics/test_segment_client.py",
    "tests/scripts/test_worker.py",
    "tests/app/analytics/test_jobs.py",
    "tests/app/analytics/test_rollups.py",
    "tests/test_contract.py",
    "tests/scripts/test_settings_faults.py",
    "tests/scripts/test_json_output.py",
    "tests/scripts/test_keyring.py",
    "tests/scripts/test_serve.py",
    "tests/scripts/test_mongod.py",
    "tests/test_rolling_upgrade.py",
    "tests/scripts/test_bench_recovery.py",
    "tests/scripts/test_bench_several.py",
    "tests/scripts/test_bench_ingest.py",
    "tests/scripts/test_bench_sync.py",
    "tests/scripts/test_bench_growth.py",
    "tests/scripts/test_embedded_backups.py",
    "tests/app/web/test_damaged_rows.py",
)
"""Files of few tests that take long, mostly by waiting for processes of their own."""


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """One long file, then two others, those with the most tests first, and so on.

    What waits leaves its core to what computes, and no long file is begun when all others are done.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    long = [files.pop(name) for name in LONG if name in files]
    others = sorted(files.values(), key=len, reverse=True)
    pairs = [others[at : at + 2] for at in range(0, len(others), 2)]
    order = chain.from_iterable([*long[at : at + 1], *pairs[at]] for at in range(len(pairs)))
    return list(chain.from_iterable([*order, *long[len(pairs) :]]))
