"""What the operator's pages show in tests: every name, key and value is hostile text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from bson import ObjectId

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
    links = {"connectionId": _connection(satchel, person), "projectId": _project(satchel)}
    known = {"userId": person, "kind": "activities", "jobId": "hostile"}
    return {**known, **of_values, **links, "accountId": _account(satchel)}


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


def _account(satchel: Served) -> str:
    body = {"name": f"Acme {HOSTILE}", "webhookUrl": "https://hooks.example.com/cards"}
    account = str(satchel.post("/v1/accounts", body)["id"])
    place = f"/v1/accounts/{account}"
    holder = satchel.post(f"{place}/users", {"email": "holder@example.com", "name": HOSTILE})["id"]
    limits = {"name": HOSTILE, "limits": {"MONTHLY": 500_000}}
    profile = satchel.post(f"{place}/spending-profiles", limits)["id"]
    card = {"userId": holder, "lastFour": "4242", "spendingProfileId": profile}
    satchel.post(f"{place}/cards", card)
    given_up = {"$set": {"state": "dead", "attempts": 12, "lastError": HOSTILE}}
    satchel.database["cardevents"].update_many({}, given_up)
    return account


def _connection(satchel: Served, person: str) -> str:
    body = {"provider": "sandbox", "institution": HOSTILE, "label": HOSTILE}
    made = satchel.post(f"/v1/users/{person}/connections", {**body, "accessToken": "any"})
    satchel.post(f"/v1/connections/{made['id']}/sync", None)
    return str(made["id"])


def _project(satchel: Served) -> str:
    """With a repository as it is stored, since no host is there to be asked."""
    project = str(satchel.post("/v1/projects", {"name": f"Site {HOSTILE}"})["id"])
    moment, sealed = datetime.now(UTC), {"v": 1, "k": "0", "n": b"0", "c": b"secret"}
    row = {
        "projectId": ObjectId(project),
        "repositoryUrl": "https://github.com/acme/site",
        "serviceType": "GitHub",
        "accessToken": sealed,
        "webhookSecret": sealed,
        "connectedAt": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
    }
    repository = satchel.database["repositoryconnections"].insert_one(row).inserted_id
    delivery = {
        "connectionId": repository,
        "event": HOSTILE,
        "payload": {HOSTILE: HOSTILE},
        "status": "failed",
        "error": HOSTILE,
        "receivedAt": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
    }
    rows = [{**delivery, "deliveryId": f"d-{number}"} for number in range(52)]
    satchel.database["webhookevents"].insert_many(rows)
    return project


def put(satchel: Served, path: str, value: Any) -> Any:
    """Store a value at a path; what is answered."""
    answer = httpx2.put(f"{satchel.url}{path}", json=value, headers=satchel.headers)
    assert answer.is_success, answer.text
    return answer.json()
