"""Writes of a batch, and a batch that is sent."""

from typing import Any

APP = "/v1/users/me/apps/notes"

DATA = f"{APP}/data"


async def batch(
    caller: Any, *writes: dict[str, Any], atomic: bool = False, **options: Any
) -> list[dict[str, Any]]:
    """The results of a batch that is answered with 200."""
    answer = await caller.post(
        f"{APP}/batch", json={"atomic": atomic, "writes": list(writes)}, **options
    )
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    assert [result["dataKey"] for result in results] == [write["dataKey"] for write in writes]
    return results


def put(key: str, value: Any = 1, **options: Any) -> dict[str, Any]:
    return {"dataKey": key, "value": value, **options}


def delete(key: str, **options: Any) -> dict[str, Any]:
    return {"dataKey": key, "delete": True, **options}


def step(key: str, value: int = 1, **options: Any) -> dict[str, Any]:
    return {
        "dataKey": key,
        "jsonPatch": [{"op": "increment", "path": "/n", "value": value}],
        **options,
    }


def said(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["status"], result.get("version")
