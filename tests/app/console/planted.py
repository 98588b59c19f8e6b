"""What the operator's pages show in tests: every name, key and value is hostile text."""

from datetime import UTC, datetime, timedelta
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
    _jobs(satchel)
    for number in range(52):
        body = {"name": f"{number} {HOSTILE}", "scopes": ["users:read"]}
        satchel.post("/v1/api-keys", body)
    of_values = {"appId": "kept", "dataKey": "note:1"}
    return {"userId": person, "kind": "activities", "jobId": "hostile", **of_values}


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


def _jobs(satchel: Served) -> None:
    """A job that fails, as a worker notes it."""
    moment = datetime.now(UTC) + timedelta(days=1)
    job = {"kind": HOSTILE, "state": "due", "runAt": moment, "attempts": 3, "fence": 1}
    told = {"lastError": HOSTILE, "progress": {HOSTILE: 1}, "version": 1}
    satchel.database["jobs"].insert_one({"_id": "hostile", **job, **told})


def put(satchel: Served, path: str, value: Any) -> Any:
    """Store a value at a path; what is answered."""
    answer = httpx2.put(f"{satchel.url}{path}", json=value, headers=satchel.headers)
    assert answer.is_success, answer.text
    return answer.json()
