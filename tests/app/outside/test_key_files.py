"""Files of keys: read again where they changed, kept where they cannot be read."""

from pathlib import Path

from app.outside.key_files import Watched, derived
from app.settings.private_files import replace


def test_a_file_is_read_again_where_it_has_changed_and_no_sooner_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("one")
    watched = Watched(path, Path.read_text)
    replace(path, b"two")
    assert watched.look(3600) == "one"
    assert watched.look() == "two"


def test_what_is_known_stays_where_the_file_is_gone_or_half_written(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("1")
    watched = Watched(path, lambda each: int(each.read_text()))
    path.unlink()
    assert watched.look() == 1
    path.write_text("half")
    assert watched.look() == 1
    path.write_text("22")
    assert watched.look() == 22


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("old")

    def slow(each: Path) -> str:
        text = each.read_text()
        if text == "old":
            replace(path, b"new")
        return text

    watched = Watched(path, slow)
    assert watched.look() == "new"


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {
        derived(b"m" * 32, b"a"),
        derived(b"m" * 32, b"b"),
        derived(b"n" * 32, b"a"),
        derived(b"m" * 32, b"a", salt=b"s"),
    }
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4
    assert derived(b"m" * 32, b"a") == derived(b"m" * 32, b"a")
