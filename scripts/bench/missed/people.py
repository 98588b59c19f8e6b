"""Those whose data is written by `bench-nothing-missed`."""

import httpx2

from scripts.bench.missed.writers import APP, Person


async def enrol(url: str, admin: str, count: int) -> list[Person]:
    """People with tokens, and the app, which keeps tombstones for the shortest time."""
    headers = {"Authorization": f"Bearer {admin}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        app = await client.put(f"/v1/apps/{APP}", json={"name": APP, "tombstoneDays": 1})
        app.raise_for_status()
        found = []
        for _ in range(count):
            user_id = (await client.post("/v1/users", json={})).json()["id"]
            session = await client.post(f"/v1/users/{user_id}/sessions", json={})
            found.append(Person(user_id, session.json()["accessToken"]))
    return found
