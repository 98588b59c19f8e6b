from tests.cast import Cast


async def test_owner_stores_and_reads_a_value(cast: Cast) -> None:
    stored = await cast.owner.put("/v1/users/me/apps/notes/data/k", json={"a": 1})
    assert (stored.status_code, stored.headers["etag"]) == (201, '"1"')
    found = await cast.owner.get("/v1/users/me/apps/notes/data/k")
    assert (found.json(), found.headers["etag"]) == ({"a": 1}, '"1"')
