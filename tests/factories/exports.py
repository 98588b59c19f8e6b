"""What an export says."""

import json
from typing import Any


def lines_of(answer: Any) -> list[tuple[str, dict[str, Any]]]:
    assert answer.status_code == 200, answer.text
    found = [json.loads(line) for line in answer.text.splitlines()]
    return [(each["kind"], each["document"]) for each in found]
