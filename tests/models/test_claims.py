"""Claiming a row: one that the transaction of a killed process holds keeps nobody from the
others."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from models import claims
from models.base import Stored, now
from models.card_queue import CardQueue
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection

pytestmark = pytest.mark.usefixtures("database")

PAST = now() - timedelta(minutes=5)
SEALED = {"v": 1, "k": "k", "n": b"n" * 12, "c": b"c" * 32}


def rows_of(document: type[Stored]) -> list[dict[str, Any]]:
    """Two rows that are due, the first of them for longer."""
    times = {"createdAt": PAST, "updatedAt": PAST, "version": 1}
    fields: dict[type[Stored], tuple[str, dict[str, Any]]] = {
        CardQueue: ("dueAt", {"waiting": 1, "last": 1, "done": 0, "fence": 0}),
        OutsideLink: (
            "nextAttemptAt",
            {"kind": "bank", "accessToken": SEALED, "attempts": 0, "details": {}},
        ),
        RepositoryConnection: (
            "nextHealthCheckAt",
            {
                "serviceType": "GitHub",
                "accessToken": SEALED,
                "webhookSecret": SEALED,
                "connectedAt": PAST,
            },
        ),
    }
    due, others = fields[document]
    names = ("accountId", "originId", "ownerId", "projectId")
    ids = [
        dict.fromkeys(names, ObjectId()) | {"repositoryUrl": f"https://x.example/{number}"}
        for number in (1, 2)
    ]
    return [
        {"_id": ObjectId(), **times, **others, **ids[number], due: PAST + timedelta(seconds=number)}
        for number in (0, 1)
    ]


async def claim(document: type[Stored]) -> Any:
    if document is OutsideLink:
        return await OutsideLink.claim("bank")
    return await (CardQueue.claim() if document is CardQueue else RepositoryConnection.claim_due())


@pytest.mark.parametrize("document", [CardQueue, OutsideLink, RepositoryConnection])
async def test_a_row_that_an_open_transaction_holds_is_stepped_over(
    document: type[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_PATIENCE", 0.3)
    monkeypatch.setattr(claims, "_LEFT_ALONE", 60.0)
    first, second = rows_of(document)
    await document.raw().insert_many([first, second])
    async with document.raw().database.client.start_session() as killed:
        await killed.start_transaction()
        await document.raw().update_one(
            {"_id": first["_id"]}, {"$inc": {"version": 1}}, session=killed
        )
        assert (await claim(document)).id == second["_id"]
        assert await claim(document) is None
        await killed.abort_transaction()
    claims._HELD.clear()
    assert (await claim(document)).id == first["_id"]


async def test_rows_are_left_alone_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    claims._HELD[1] = 0.0
    assert claims._left_alone() == []
    assert claims._HELD == {}
