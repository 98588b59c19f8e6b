"""Batches that Segment's clients send."""

from base64 import b64encode
from typing import Any

import httpx2

from models.analytics import Analytics
from models.quarantine import QuarantinedEvent
from tests.harness import Api, Caller

DONE = {"success": True}


def basic(caller: Caller) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{caller.credential}:".encode()).decode()}


async def write_key(api: Api) -> Caller:
    return await api.key("events:write", app_id="notes")


async def send(
    caller: Caller, *items: Any, path: str = "/v1/batch", **more: Any
) -> httpx2.Response:
    headers = basic(caller) | more.pop("headers", {})
    return await caller.post(path, json={"batch": list(items), **more}, headers=headers)


TRACK = {
    "type": "track",
    "event": "signup",
    "messageId": "m-1",
    "userId": "crm-7",
    "properties": {"plan": "team"},
}


async def stored() -> list[dict[str, Any]]:
    return await Analytics.raw().find({}).sort("_id", 1).to_list()


async def set_aside() -> list[dict[str, Any]]:
    return await QuarantinedEvent.raw().find({}).sort("_id", 1).to_list()
