"""Examples of what is sent and answered: what `/docs` shows, and what the quick start is made
of."""

from typing import Any, Final


def webhook(example: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's description of what an outside system posts, by an example."""
    schema = {"type": "object", "additionalProperties": True}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def answers(example: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's example of an answer. FastAPI drops nulls from the document, so an example holds
    none."""
    return {200: {"content": {"application/json": {"example": example}}}}


def page_of(item: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's example of one page of a list."""
    return answers({"items": [item], "nextCursor": "WyI2OTFmMGMwZmZlZTY5MWYwYzBmZmVlNjkiXQ"})


ID: Final = "691f0c0ffee691f0c0ffee69"


DATES: Final[dict[str, Any]] = {
    "version": 3,
    "createdAt": "2026-11-20T08:30:00.125Z",
    "updatedAt": "2026-11-20T09:12:31.002Z",
}


OF_USER: Final[dict[str, Any]] = {"id": "691f0c0ffee691f0c0ffee70", "userId": ID, **DATES}


PLAN_SHOWN: Final = {
    "id": ID,
    "deleted": {"users": 1, "profiles": 1, "preferences": 1, "appdata": 12},
    "nulled": {},
    "blockers": [],
}


RECEIPT_SHOWN: Final = {
    "id": ID,
    "deleted": {"users": 1, "profiles": 1, "preferences": 1, "appdata": 12},
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
