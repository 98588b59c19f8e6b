"""What the operator's pages show in tests: every name, key and value is hostile text."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from bson import ObjectId

from tests.serving import Served

HOSTILE = (
    "<img src=x onerror=alert(1)>\"'</textarea></script><script>document.title='owned'</script>"
)


@dataclass(frozen=True)
class _Hands:
    """A Satchel by one connection, which spares most of the time."""

    client: httpx2.Client
    database: Any

    def post(self, path: str, body: Any) -> Any:
        return self._made(self.client.post(path, json=body))

    def put(self, path: str, value: Any) -> Any:
        return self._made(self.client.put(path, json=value))

    def _made(self, answer: httpx2.Response) -> Any:
        assert answer.is_success, answer.text
        return answer.json()


def plant(satchel: Served) -> dict[str, str]:
    """Make something for every page; the ids, by parameter of a path."""
    with httpx2.Client(base_url=satchel.url, headers=satchel.headers, timeout=60) as client:
        return _planted(_Hands(client, satchel.database))


def _planted(hands: _Hands) -> dict[str, str]:
    hands.put("/v1/apps/kept", {"name": HOSTILE, "history": 5, "quota": {"keys": 90}})
    person = _person(hands)
    _values(hands, person)
    _jobs(hands)
    for number in range(52):
        body = {"name": f"{number} {HOSTILE}", "scopes": ["users:read"]}
        hands.post("/v1/api-keys", body)
    of_values = {"appId": "kept", "dataKey": "note:1"}
    links = {"connectionId": _connection(hands, person), "projectId": _project(hands)}
    known = {"userId": person, "kind": "activities", "jobId": "hostile"}
    return {**known, **of_values, **links, "accountId": _account(hands)}


def _person(hands: _Hands) -> str:
    body = {"email": "ann@example.com", "name": f"Ann {HOSTILE}", "valuUserId": HOSTILE}
    ann = hands.post("/v1/users", body)
    place = f"/v1/users/{ann['id']}"
    for number in range(60):
        said = {"appId": "notes", "eventType": "opened", "eventData": {HOSTILE: [number, HOSTILE]}}
        hands.post(f"{place}/activity", said)
    event = {"appId": "notes", "eventName": HOSTILE, "eventCategory": "custom", "userId": ann["id"]}
    hands.post("/v1/analytics/events", [event])
    for number in range(55):
        hands.post("/v1/users", {"email": f"p{number}@example.com", "name": HOSTILE})
    return str(ann["id"])


def _values(hands: _Hands, person: str) -> None:
    place = f"/v1/users/{person}/apps/kept/data"
    for number in range(55):
        hands.put(f"{place}/note:{number}", {"title": HOSTILE, HOSTILE: number})
    hands.put(f"{place}/note:1", [HOSTILE])
    for number in (2, 3):
        assert hands.client.delete(f"{place}/note:{number}").is_success


def _jobs(hands: _Hands) -> None:
    """A job that fails, as a worker notes it."""
    moment = datetime.now(UTC) + timedelta(days=1)
    job = {"kind": HOSTILE, "state": "due", "runAt": moment, "attempts": 3, "fence": 1}
    told = {"lastError": HOSTILE, "progress": {HOSTILE: 1}, "version": 1}
    hands.database["jobs"].insert_one({"_id": "hostile", **job, **told})


def _account(hands: _Hands) -> str:
    body = {"name": f"Acme {HOSTILE}", "webhookUrl": "https://hooks.example.com/cards"}
    account = str(hands.post("/v1/accounts", body)["id"])
    place = f"/v1/accounts/{account}"
    holder = hands.post(f"{place}/users", {"email": "holder@example.com", "name": HOSTILE})["id"]
    limits = {"name": HOSTILE, "limits": {"MONTHLY": 500_000}}
    profile = hands.post(f"{place}/spending-profiles", limits)["id"]
    card = {"userId": holder, "lastFour": "4242", "spendingProfileId": profile}
    hands.post(f"{place}/cards", card)
    given_up = {"$set": {"state": "dead", "attempts": 12, "lastError": HOSTILE}}
    hands.database["cardevents"].update_many({}, given_up)
    return account


def _connection(hands: _Hands, person: str) -> str:
    body = {"provider": "sandbox", "institution": HOSTILE, "label": HOSTILE}
    made = hands.post(f"/v1/users/{person}/connections", {**body, "accessToken": "any"})
    hands.post(f"/v1/connections/{made['id']}/sync", None)
    return str(made["id"])


def _project(hands: _Hands) -> str:
    """With a repository as it is stored, since no host is there to be asked."""
    project = str(hands.post("/v1/projects", {"name": f"Site {HOSTILE}"})["id"])
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
    repository = hands.database["repositoryconnections"].insert_one(row).inserted_id
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
    hands.database["webhookevents"].insert_many(rows)
    return project


def put(satchel: Served, path: str, value: Any) -> Any:
    """Store a value at a path; what is answered."""
    answer = httpx2.put(f"{satchel.url}{path}", json=value, headers=satchel.headers)
    assert answer.is_success, answer.text
    return answer.json()
