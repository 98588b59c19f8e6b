"""Projects, and who is invited into them."""

from typing import Any

from tests.cast import Cast
from tests.harness import Caller

NEVER = "5f0c0ffee691f0c0ffee6911"


async def new_project(owner: Caller, name: str = "Notes") -> str:
    """The id of a project of the owner's."""
    made = await owner.post("/v1/projects", json={"name": name})
    assert made.status_code == 201
    return str(made.json()["id"])


async def invite(owner: Caller, project: str, user_id: str, role: str = "member") -> Any:
    return await owner.put(f"/v1/projects/{project}/members/{user_id}", json={"role": role})


async def accept(person: Caller, project: str, **options: Any) -> Any:
    return await person.post(f"/v1/users/me/invitations/{project}/accept", **options)


async def invitations(person: Caller) -> list[Any]:
    found: list[Any] = (await person.get("/v1/users/me/invitations")).json()["items"]
    return found


async def invited(owner: Caller, project: str) -> list[str]:
    page = (await owner.get(f"/v1/projects/{project}/invitations")).json()
    return [each["userId"] for each in page["items"]]


async def members(cast: Cast, project: str) -> list[tuple[str, str]]:
    found = (await cast.admin.get(f"/v1/projects/{project}")).json()["members"]
    return [(each["userId"], each["role"]) for each in found]


def without_what_differs(answer: Any, user_id: str) -> tuple[int, list[str], Any]:
    """Status, names of the headers, and the body without the id, times and the request's id."""
    times = ("createdAt", "updatedAt", "expiresAt", "requestId", "version")

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items() if name not in times}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return "somebody" if value == user_id else value

    names = sorted(name for name in answer.headers if name != "content-length")
    return answer.status_code, names, plain(answer.json()) if answer.content else None
