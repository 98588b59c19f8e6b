"""The hub: pokes reach those who listen to the same user and app, and nobody else."""

from contextlib import ExitStack

from bson import ObjectId

from app.sync.hub import Hub

ANNA, BEN = ObjectId(), ObjectId()


def test_a_poke_wakes_the_listeners_of_that_user_and_app_alone() -> None:
    hub = Hub()
    places = ((ANNA, "notes"), (ANNA, "notes"), (ANNA, "tasks"), (BEN, "notes"))
    with ExitStack() as stack:
        events = [stack.enter_context(hub.listen(*place)) for place in places]
        hub.poke(ANNA, "notes")
        woken = [event.is_set() for event in events]
    assert woken == [True, True, False, False]


def test_a_poke_of_all_wakes_everybody() -> None:
    hub = Hub()
    with hub.listen(ANNA, "notes") as first, hub.listen(BEN, "tasks") as second:
        hub.poke_all()
        assert first.is_set() and second.is_set()


def test_who_has_left_is_forgotten() -> None:
    hub = Hub()
    with hub.listen(ANNA, "notes") as stays:
        with hub.listen(ANNA, "notes") as left:
            pass
        hub.poke(ANNA, "notes")
        assert stays.is_set() and not left.is_set()
    assert hub._listeners == {}
