import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.email import canonical_email


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        (" Ann@Example.COM ", "ann@example.com"),
        ("ANN@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("\uff21nn@example.com", "ann@example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("ann+tag@example.com", "ann+tag@example.com"),
        ("ann@example.com.", "ann@example.com"),
    ],
)
def test_spellings_of_one_address_are_one(typed: str, canonical: str) -> None:
    assert canonical_email(typed) == canonical


@pytest.mark.parametrize(
    "typed",
    ["", "ann", "@example.com", "ann@", "ann@localhost", "a b@example.com", "a@b@example.com", ".a@example.com",
     "a..b@example.com", "a@exa mple.com", "a" * 65 + "@example.com",
     "a@" + "b" * 64 + ".com", "a\0@example.com"]
)  # fmt: skip
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="email"):
        canonical_email(typed)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_canonical_form_is_its_own(local: str, domain: str) -> None:
    try:
        once = canonical_email(f"{local}@{domain}.example")
    except ValueError:
        return
    assert canonical_email(once) == once
