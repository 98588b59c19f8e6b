"""Merging two people: the other is found, the plan is seen, what both have is chosen, and it is
confirmed by typing."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from fastapi import Response

from app.auth.oversight import phones_of
from app.console.frame.calls import Refused, path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.people.deletion import to_type
from app.console.people.search import FIELDS, named, sought
from app.web.body import dump_json
from models.base import parse_id

PATH: Final = "/console/people/{userId}/merge"
page = Page(__name__, "Merge", "/console/people", group="People", scope="users:merge", listed=False)
_MOST_SHOWN: Final = 50
_CHANGED: Final = "One of them, or what both have, has changed since it was shown. Look again."
_NOT_TYPED: Final = "What was typed is not what was asked for: nothing was merged."
_NOT_CHOSEN: Final = "Choose whose is kept of all that both have: nothing was merged."
KINDS: Final = {
    "account": "Account",
    "appData": "App data under the same key",
    "email": "Email",
    "preferences": "Preferences",
    "profile": "Profile",
    "projects": "Role in a project",
    "user": "Who they are",
}
"""What both may have and one can have one of, and how that is called."""


@page.get(PATH)
async def merge(desk: Desk) -> Values | Response:
    """The search for the other person, and with `into` what a merge would do."""
    if desk.query("into"):
        return desk.show(
            await _planned(desk, desk.query("into")), template="people/merge_plan.html"
        )
    user = await desk.api.get(path_of("/v1/users/{}", desk["userId"]))
    text, by = desk.query("q"), desk.query("by")
    others = await _others(desk, user, text, by)
    phones = await phones_of(parse_id(each["id"]) for each in others)
    shown = {"text": text, "by": by, "fields": FIELDS, "phones": phones}
    return {"user": user, "others": others, "alike": user["name"] if not text else None, **shown}


async def _others(desk: Desk, user: dict[str, Any], text: str, by: str) -> list[dict[str, Any]]:
    """Whoever is sought; who is called the same where nothing is."""
    text, by = (text, by) if text else (user["name"] or "", "prefix")
    if not text:
        return []
    if (user_id := await named(desk, text, by)) is not None:
        found = [await desk.api.get(path_of("/v1/users/{}", user_id))]
    else:
        query = {sought(text, by): text}
        found = (await desk.api.get("/v1/users", **query, limit=_MOST_SHOWN))["items"]
    return [each for each in found if each["id"] != user["id"]]


async def _planned(desk: Desk, into: str) -> Values:
    """What the merge of the path's person into another would do."""
    place = path_of("/v1/users/{}", desk["userId"])
    plan = await desk.api.get(f"{place}/merge-plan", into=into)
    both = [plan["id"], plan["into"]]
    source, target = [await _whole(desk, user_id) for user_id in both]
    conflicts: dict[str, list[dict[str, Any]]] = {}
    for each in plan["conflicts"]:
        conflicts.setdefault(each["kind"], []).append(each)
    return {
        "user": source["user"],
        "people": [source, target],
        "phones": await phones_of(parse_id(each) for each in both if "version" in source["user"]),
        "plan": plan,
        "conflicts": conflicts,
        "kinds": KINDS,
        "chosen": {},
        "typed": to_type(source["user"]),
        "seen": _digest(plan, source, target),
        "most": _MOST_SHOWN,
    }


async def _whole(desk: Desk, user_id: str) -> dict[str, Any]:
    """One of the two, with profile and preferences; the id alone for who may merge people and read
    none."""
    found = await desk.api.try_get(path_of("/v1/users/{}/complete", user_id))
    nobody = {"id": user_id, "name": None, "email": None}
    return dict(found) if found else {"user": nobody, "profile": None, "preferences": None}


def _digest(plan: dict[str, Any], *people: dict[str, Any]) -> str:
    """By what a form tells that it was made from what holds still."""
    versions = [each["user"].get("version") for each in people]
    return sha256(dump_json([plan["conflicts"], plan["blockers"], versions])).hexdigest()[:32]


@page.post(PATH)
async def merge_them(desk: Desk) -> Response:
    """Merge the two, if both are still as they were shown."""
    planned, form = await _planned(desk, desk.form["into"]), desk.form
    planned["chosen"] = keep = _chosen(desk, planned["conflicts"])
    complaint = (
        (_CHANGED if form["seen"] != planned["seen"] else "")
        or (_NOT_CHOSEN if keep.keys() != planned["conflicts"].keys() else "")
        or (_NOT_TYPED if form["confirm"] != planned["typed"] else "")
    )
    if complaint:
        return _again(desk, planned, complaint, 412 if complaint is _CHANGED else 422)
    source, into = planned["plan"]["id"], planned["plan"]["into"]
    try:
        await desk.api.send(
            "POST", path_of("/v1/users/{}/merge", source), {"into": into, "keep": keep}
        )
    except Refused as refused:
        if refused.status != 409:
            raise
        return _again(desk, await _planned(desk, into), refused.detail, 409)
    return desk.done(path_of("/console/people/{}/deletion", source), "The two are one person.")


def _chosen(desk: Desk, kinds: Iterable[str]) -> dict[str, str]:
    given = {kind: desk.form[f"keep-{kind}"] for kind in kinds}
    return {kind: side for kind, side in given.items() if side in ("source", "target")}


def _again(desk: Desk, planned: Values, complaint: str, status: int) -> Response:
    values = {**planned, "complaint": complaint}
    return desk.show(values, status=status, template="people/merge_plan.html")
