"""How much a batch may make."""

from typing import Any

from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch

COPIES = [{"op": "copy", "from": "/a", "path": f"/b{number}"} for number in range(15)]


async def test_patches_that_copy_make_8_mib_at_most(cast: Cast) -> None:
    """A body of some kilobytes would make a hundred megabytes of what is small; what is not done
    the client sends again."""
    keys = [f"k{number:02}" for number in range(24)]
    for key in keys:
        await cast.owner.put(f"{DATA}/{key}", json={"a": "x" * 30_000})
    writes: list[dict[str, Any]] = [{"dataKey": key, "jsonPatch": COPIES} for key in keys]
    last = {"dataKey": "last", "value": 1}
    answer = await cast.owner.post(f"{APP}/batch", json={"atomic": True, "writes": writes})
    assert (answer.status_code, answer.json()["results"][0]["status"]) == (413, "notApplied")
    results = await batch(cast.owner, *writes, last, headers={"Prefer": "return=minimal"})
    done = [result["status"] for result in results]
    assert done == ["stored"] * 18 + ["notApplied"] * 6 + ["stored"]
    again = await batch(cast.owner, *writes[18:], headers={"Prefer": "return=minimal"})
    assert {result["status"] for result in again} == {"stored"}
