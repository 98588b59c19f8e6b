"""Texts that stand where an id should, and are nobody's: what a client's fault or a placeholder
leaves there."""

import re
from typing import Final

_UNSET: Final = frozenset(
    ("null", "nil", "none", "undefined", "undef", "void", "nan", "n/a", "{}", "[]", "()", "<>")
)
_UNSET_SHAPES: Final = re.compile(
    r"|0{8}-0{4}-0{4}-0{4}-0{12}"  # nothing at all, an empty UUID
    r"|\[object \w+\]"
    r"|\{\{.*\}\}|\$\{.*\}|\{%.*%\}|<%.*%>|%.*%"  # templates that nobody filled in
    r"|(?:null|undefined|none|nan)(?:\W?(?:null|undefined|none|nan))+"  # parts put together
)
_LIST: Final = """
na true false unknown anonymous guest visitor userid user_id user-id
anonymousid anonymous_id anonymous-id distinctid distinct_id externalid external_id id uid uuid
guid email
not_authenticated not-authenticated unauthenticated not_logged_in not-logged-in logged_out
logged-out
notset not_set not-set -1
"""
_WORDS: Final = _UNSET.union(_LIST.split(), ("not set", "not logged in", "logged out"))
_ZEROS: Final = re.compile(r"[0\-]*")
_AROUND: Final = " \t\r\n\v\f\0\u00a0\ufeff\"'`"
_BRACKETS: Final = {"(": ")", "<": ">", "[": "]"}
_LONGEST: Final = 64


def is_nobody(text: str) -> bool:
    """Whether a text is no id of anybody, such as `null`, `undefined`, `[object Object]`, `0` or
    `guest`.

    Case, quotes and brackets around it do not matter. PostHog and Mixpanel refuse such ids
    likewise.
    """
    return _is_one_of(text, _WORDS, _ZEROS)


def somebody(text: str | None) -> str | None:
    """The id; None in place of a text that is nobody's."""
    return None if text is None or is_nobody(text) else text


def is_unset(text: str) -> bool:
    """Whether a text is what a client's fault leaves where an id of what it sends should be, the
    same for all of them: `undefined`, `[object Object]`, a template. `0`, `0-0`, `id` or `guest`
    may be the id of a message, a session or a write.
    """
    return _is_one_of(text, _UNSET)


def unless_unset(text: str | None) -> str | None:
    """The id; None in place of a text that is none."""
    return None if text is None or is_unset(text) else text


def _is_one_of(text: str, words: frozenset[str], *shapes: re.Pattern[str]) -> bool:
    if len(text) > _LONGEST:
        return False
    plain = text.strip(_AROUND).casefold()
    if plain in words or any(shape.fullmatch(plain) for shape in (_UNSET_SHAPES, *shapes)):
        return True
    return _BRACKETS.get(plain[:1]) == plain[-1:] and plain[1:-1].strip(_AROUND) in words
