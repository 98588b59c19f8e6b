"""What the operator's pages show in tests: every name, key and value is hostile text."""

from typing import Any

import httpx2

from tests.serving import Served

HOSTILE = (
    "<img src=x onerror=alert(1)>\"'</textarea></script><script>document.title='owned'</script>"
)


def plant(satchel: Served) -> dict[str, str]:
    """Make something for every page; the ids, by parameter of a path."""
    put(satchel, "/v1/apps/kept", {"name": HOSTILE, "history": 5, "quota": {"keys": 90}})
    person = _person(satchel)
    _values(satchel, person)
    return {"userId": person, "kind": "activities", "appId": "kept", "dataKey": "note:1"}


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


def _values(satchel: Served, person: str) -> None:
    place = f"/v1/users/{person}/apps/kept/data"
    for number in range(55):
        put(satchel, f"{place}/note:{number}", {"title": HOSTILE, HOSTILE: number})
    put(satchel, f"{place}/note:1", [HOSTILE])
    for number in (2, 3):
        headers = satchel.headers
        assert httpx2.delete(f"{satchel.url}{place}/note:{number}", headers=headers).is_success


def put(satchel: Served, path: str, value: Any) -> Any:
    """Store a value at a path; what is answered."""
    answer = httpx2.put(f"{satchel.url}{path}", json=value, headers=satchel.headers)
    assert answer.is_success, answer.text
    return answer.json()
