"""The canonical form of a phone number: E.164."""

from typing import Annotated

import phonenumbers
from pydantic import AfterValidator


def canonical_phone(number: str) -> str:
    """A number in E.164, however its international form was written.

    Raises:
        ValueError: it is none in international form.
    """
    try:
        parsed = phonenumbers.parse(number, None)
        valid = phonenumbers.is_valid_number(parsed)
    except phonenumbers.NumberParseException:
        valid = False
    if not valid:
        raise ValueError("not a phone number in international form, such as +14155550123")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def sought_phone(number: str) -> str:
    """The canonical form of a number that a query names; a plus that was not escaped comes as a
    blank.

    Raises:
        ValueError: it is no phone number.
    """
    return canonical_phone(f"+{number[1:]}" if number.startswith(" ") else number)


SoughtPhone = Annotated[str, AfterValidator(sought_phone)]
