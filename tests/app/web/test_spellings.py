"""A number, a boolean and a day have one spelling each in paths and queries; the same number in
another is refused, and named."""

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.factories.operations import BODIES, MERGE, operations
from tests.harness import Api

INTEGERS: Final = ["01", "+1", " 1", "1 ", "1_0", "1.0", "1e1", "-0", "0x1", "١", "１", ""]
OTHERS: Final[dict[str, list[str]]] = {
    "integer": INTEGERS,
    "number": ["01", "+1", " 1", "1_0", "1.", ".5", "1e1", "-0x1", "١", "inf", "nan", ""],
    "boolean": ["1", "0", "yes", "on", "t", "True", "FALSE", " true", "True ", ""],
    "date-time": [
        *("20261120", "1764000000", " 2026-11-20", "2026-11-20 ", "2026-11-20T08:30:00Z "),
        *(
            "２０２６-11-20",
            "٢٠٢٦-11-20",
            "2026-1-2",
            "26-11-20",
            "2026-W47-5",
            "2026-324",
            "+2026-11-20",
        ),
        *("2026-11-20T8:30:00Z", "2026-11-20T08:30:00 Z", "2026-11-20T08:30:00+2", ""),
    ],
    "date": [
        "20261120",
        " 2026-11-20",
        "2026-11-20 ",
        "２０２６-11-20",
        "2026-1-2",
        "2026-324",
        "0",
    ],
}
DAYS: Final = {
    ("GET /v1/bank-accounts/{bankAccountId}/transactions", each) for each in ("from", "to")
}
"""Texts with a pattern, to OpenAPI."""
RIGHT: Final = {
    "integer": "1",
    "number": "1.5",
    "boolean": "true",
    "date-time": "2026-11-20T08:30:00Z",
}
RIGHT_DAY: Final = "2026-11-20"


def spelled(name: str) -> Iterator[tuple[str, str, str]]:
    """Where the parameters of an operation are that are no texts, their names, and their kinds."""
    for parameter in operations()[name].get("parameters", []):
        schema = parameter["schema"]
        kind = schema.get("format", schema["type"])
        if (name, parameter["name"]) in DAYS:
            kind = "date"
        if kind in OTHERS and parameter["in"] in ("path", "query"):
            yield parameter["in"], parameter["name"], kind


async def answered(
    api: Api, ids: dict[str, str], name: str, where: str, parameter: str, text: str
) -> Any:
    method, template = name.split(" ")
    given = {**ids, parameter: text} if where == "path" else ids
    path = re.sub(r"{(\w+)}", lambda match: given[match[1]] or "%20", template)
    query = {"step": ["a", "b"]} if template.endswith("/funnel") else {}
    if template.endswith("/joins"):
        query = {"appId": "notes"}
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if name in BODIES:
        options["json"] = BODIES[name]
    caller = (
        api.token(ids["userId"]) if "/me/" in path or "/auth/" in path else await api.key("admin")
    )
    if where == "query":
        query[parameter] = text
    return await caller.request(method, path, params=query, **options)


async def test_a_parameter_is_spelled_in_one_way(opened: tuple[Api, dict[str, str]]) -> None:
    api, ids = opened
    wrong, seen = [], set()
    for name in operations():
        for where, parameter, kind in spelled(name):
            seen.add((kind, parameter))
            pointer = f"path:{parameter}" if where == "path" else f"?{parameter}"
            for text in OTHERS[kind]:
                answer = await answered(api, ids, name, where, parameter, text)
                errors = answer.json().get("errors", []) if answer.status_code == 422 else []
                if pointer not in {each["pointer"] for each in errors}:
                    wrong.append((name, pointer, text, answer.status_code, answer.text[:300]))
            right = RIGHT_DAY if kind == "date" else RIGHT[kind]
            answer = await answered(api, ids, name, where, parameter, right)
            found = answer.json().get("errors", []) if answer.status_code == 422 else []
            if (pointer, "malformed") in {(each["pointer"], each["code"]) for each in found}:
                wrong.append((name, pointer, right, answer.status_code, answer.text[:300]))
    for w in wrong:
        print("W", w)
    assert wrong == []
    assert {kind for kind, _ in seen} == OTHERS.keys()
    assert ("integer", "version") in seen and ("integer", "limit") in seen
