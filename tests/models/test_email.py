"""One spelling for every way to write the same address."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.email import LONGEST, canonical_email, is_own_spelling

SAME = [
    ("ann@example.com", "ann@example.com"),
    ("  Ann@Example.COM\n", "ann@example.com"),
    ("ａｎｎ@example.com", "ann@example.com"),  # full-width
    ("straße@example.com", "strasse@example.com"),
    ("ΜΆΪΟΣ@example.com", "μάϊοσ@example.com"),
    ("e\u0301@example.com", "é@example.com"),
    ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
    ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
    ("ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"),
    ("ann@example.com.", "ann@example.com"),
    ("ann@faß.example", "ann@xn--fa-hia.example"),
    ("ann@FAẞ.example", "ann@xn--fa-hia.example"),
    ("ann@βόλος.example", "ann@xn--nxasmm1c.example"),
    ("ann@βόλοσ.example", "ann@xn--nxasmq6b.example"),
    ("a+tag.b_c-d'e@sub.example.co", "a+tag.b_c-d'e@sub.example.co"),
    ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
]
NONE = [
    *(
        "",
        " ",
        "@",
        "ann",
        "ann@",
        "@example.com",
        "ann@@example.com",
        "a@b@example.com",
        "ann@example",
    ),
    *(
        "ann example@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "ann@.com",
        "ann@-a.com",
    ),
    *(
        "ann@a..com",
        'a"b@example.com',
        "a,b@example.com",
        "<a@example.com>",
        "ann@[127.0.0.1]",
        "a\0b@example.com",
    ),
    *(
        "x" * 65 + "@example.com",
        "a@" + "x" * 64 + ".com",
        "a@" + ".".join(["abcdefgh"] * 30),
        "ann@exa mple.com",
    ),
    *("\ud800@example.com", "ann@\ud800.com", "ann@xn--.com"),
]


@pytest.mark.parametrize(("typed", "canonical"), SAME)
def test_each_way_to_write_an_address_has_one_form(typed: str, canonical: str) -> None:
    assert canonical_email(typed) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize("typed", NONE, ids=ascii)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical_email(typed)


UNSEEN = [
    *(
        "\u200b",
        "\u200c",
        "\u200d",
        "\u2060",
        "\u00ad",
        "\ufeff",
        "\u180e",
        "\u034f",
        "\u115f",
        "\u3164",
        "\uffa0",
    ),
    *(
        "\u202a",
        "\u202e",
        "\u2066",
        "\u2069",
        "\u200e",
        "\u200f",
        "\u061c",
        "\ufe0f",
        "\u2800",
        "\u2028",
        "\x85",
    ),
    *("\x90", "\U000e0041", "\U000e0100", "\U0001d173", "\u206a"),
]


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_nothing_invisible_and_nothing_that_turns_the_text_is_in_an_address(letter: str) -> None:
    for typed in (
        f"a{letter}b@example.com",
        f"ann@ex{letter}ample.com",
        f"a{letter}@example.com",
        f"ß{letter}@x.com",
    ):
        with pytest.raises(ValueError, match=r"."):
            canonical_email(typed)


@given(st.characters(categories=["Cf", "Cc", "Zl", "Zp", "Zs", "Cs"]))
def test_no_control_format_or_white_space_character_is_in_an_address(letter: str) -> None:
    for typed in (f"a{letter}b@example.com", f"ann@ex{letter}ample.com"):
        with pytest.raises(ValueError, match=r"."):
            canonical_email(typed)


@pytest.mark.parametrize("domain", ["xn--mgba3gch31f060k.com", "نامه\u200cای.com"], ids=ascii)
def test_a_domain_that_is_shown_with_something_invisible_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="invisible"):
        canonical_email(f"ann@{domain}")


@given(st.one_of(st.text(), st.tuples(st.text(min_size=1), st.text(min_size=1)).map("@".join)))
@example("\u0345@a.b")
@example("ǰ\u0323@a.b")
def test_any_text_has_a_form_that_is_its_own_or_none(text: str) -> None:
    try:
        canonical = canonical_email(text)
    except ValueError:
        return
    assert canonical_email(canonical) == canonical
    assert len(canonical) <= LONGEST
    assert canonical.rpartition("@")[2].isascii()


@given(
    st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=20),
    st.sampled_from(["example.com", "Bücher.example", "中国.example"]),
)
def test_capitals_and_spaces_make_no_other_address(local: str, domain: str) -> None:
    try:
        canonical = canonical_email(f"{local}@{domain}")
    except ValueError:
        return
    assert canonical_email(f"  {local}@{domain.upper()} ") == canonical


@pytest.mark.parametrize(
    ("typed", "own"),
    [
        *((" Ann@FASS.example ", True), ("é@faß.example", True), ("ann@BÜCHER.example", True)),
        *(
            ("straße@example.com", False),
            ("É@example.com", False),
            ("\u212aate@example.com", False),
        ),
        *(("ａｎｎ@example.com", False), ("ann＠example.com", False)),
    ],
)
def test_who_holds_an_address_holds_its_canonical_form_apart_from_ascii_case_only(
    typed: str, own: bool
) -> None:
    assert is_own_spelling(typed) is own
