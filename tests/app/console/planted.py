"""What the operator's pages show in tests: every name, key and value is hostile text."""

from typing import Any

import httpx2

from tests.serving import Served

HOSTILE = (
    "<img src=x onerror=alert(1)>\"'</textarea></script><script>document.title='owned'</script>"
)


def plant(satchel: Served) -> dict[str, str]:
    """Make something for every page; the ids, by parameter of a path."""
    person = _person(satchel)
    return {"userId": person, "kind": "activities"}


def _person(satchel: Served) -> str:
    body = {"email": "ann@example.com", "name": f"Ann {HOSTILE}", "valuUserId": HOSTILE}
    ann = satchel.post("/v1/users", body)
    place = f"/v1/users/{ann['id']}"
    for number in range(60):
        said = {"appId": "notes", "eventType": "opened", "eventData": {HOSTILE: [number, HOSTILE]}}
        satchel.post(f"{place}/activity", said)
    event = {"appId": "notes", "eventName": HOSTILE, "eventCategory": "custom", "userId": ann["id"]}
    satchel.post("/v1/analytics/events", [event])
    for number in range(55):
        satchel.post("/v1/users", {"email": f"p{number}@example.com", "name": HOSTILE})
    return str(ann["id"])


def put(satchel: Served, path: str, value: Any) -> Any:
    """Store a value at a path; what is answered."""
    answer = httpx2.put(f"{satchel.url}{path}", json=value, headers=satchel.headers)
    assert answer.is_success, answer.text
    return answer.json()
