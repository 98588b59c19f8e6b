"""The worker's queues: each kind of job in one of them, so that a long job of one domain holds up no other."""

from app.settings import Settings
from app.work import handlers, queues


def test_every_kind_of_job_is_in_one_queue(base_settings: Settings) -> None:
    kinds = [kind for queue in queues(base_settings) for kind in queue]
    assert sorted(kinds) == sorted(handlers(base_settings))
    assert len(set(kinds)) == len(kinds)


def test_sweeps_do_not_wait_for_analytics(base_settings: Settings) -> None:
    queue = next(queue for queue in queues(base_settings) if "sweep-deletion" in queue)
    assert set(queue) == {"sweep-deletion", "late-sweeps"}
