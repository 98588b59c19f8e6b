"""Sets of people that a process remembers: only as of their document's stamp, and not without
bound."""

from bson import ObjectId
from pyroaring import BitMap

from app.analytics.query.known_sets import KnownSets

ONE, TWO = BitMap([1, 2]), BitMap([3])


def test_sets_are_known_as_of_their_stamp_only() -> None:
    known, stamp = KnownSets(), ObjectId()
    assert known.keep("day", stamp, {0: ONE.serialize(), 1: b""}) == {0: ONE, 1: BitMap()}
    assert known.find("day", stamp, [0, 1]) == {0: ONE, 1: BitMap()}
    assert known.find("day", stamp, [0, 2]) is None
    assert known.find("day", ObjectId(), [0]) is None
    assert known.find("another", stamp, [0]) is None


def test_further_sets_of_the_same_stamp_are_added_those_of_another_replace() -> None:
    known, stamp, later = KnownSets(), ObjectId(), ObjectId()
    known.keep("day", stamp, {0: ONE.serialize()})
    known.keep("day", stamp, {1: TWO.serialize()})
    assert known.find("day", stamp, [0, 1]) == {0: ONE, 1: TWO}
    known.keep("day", later, {0: TWO.serialize()})
    assert known.find("day", later, [0]) == {0: TWO}
    assert known.find("day", later, [1]) is None
    assert known.find("day", stamp, [0]) is None


def test_a_document_without_a_stamp_is_read_but_not_remembered() -> None:
    known = KnownSets()
    assert known.keep("day", None, {0: ONE.serialize()}) == {0: ONE}
    assert known.find("day", None, [0]) is None
    assert known.size == 0


def test_the_least_recently_asked_is_forgotten_first() -> None:
    known, stamp = KnownSets(most_bytes=3 * (901 + len(ONE.serialize()))), ObjectId()
    for name in ("a", "b", "c"):
        known.keep(name, stamp, {0: ONE.serialize()})
    assert known.find("a", stamp, [0])
    known.keep("d", stamp, {0: ONE.serialize()})
    assert [bool(known.find(name, stamp, [0])) for name in "abcd"] == [True, False, True, True]
    assert known.size == known.most_bytes
    known.clear()
    assert (known.size, known.find("a", stamp, [0])) == (0, None)


def test_small_documents_are_counted_as_what_they_take_and_only_once() -> None:
    known, stamp, name = (
        KnownSets(most_bytes=1_000_000),
        ObjectId(),
        "2026-11-20/notes/3/n:custom/an-event-of-this-name",
    )
    for number in range(2000):
        known.keep(f"{name}-{number:04d}", stamp, {0: ONE.serialize()})
    kept = sum(known.find(f"{name}-{number:04d}", stamp, [0]) is not None for number in range(2000))
    assert 900 < 1_000_000 / kept < 1000  # measured: 790 of the process' memory
    known.clear()
    known.keep(name, stamp, {0: ONE.serialize()})
    before = known.size
    known.keep(name, stamp, {1: TWO.serialize()})
    assert known.size - before == 200 + len(TWO.serialize())
    known.keep(name, ObjectId(), {0: ONE.serialize()})
    assert known.size == before
