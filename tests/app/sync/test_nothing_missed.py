"""Nothing missed, in short: `python -m scripts bench-nothing-missed` runs for longer."""

from scripts.bench.missed.command import look


def test_clients_have_what_the_server_has_though_primary_and_server_are_killed() -> None:
    """Writers at two servers, transactions held open, values that expire and tombstones that are
    purged; clients whose connections are cut. Who polls without overlap misses something."""
    found = look(10, failovers=1, kills=1, people=2)
    assert found.is_sound, found.shown()
    assert found.is_real, found.shown()
    assert {"kill primary": 1, "kill": 1}.items() <= found.writes.items()
    assert found.acknowledged > 100
    assert all(kind.polls > 0 for kind in found.kinds.values())
