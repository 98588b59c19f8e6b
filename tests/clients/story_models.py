"""The main story, by the models that datamodel-code-generator makes of the document, over plain
httpx."""

import os
from typing import TypeVar

import httpx
from pydantic import BaseModel
from satchel_models import (
    AppDataEnvelope,
    AppDataMismatch,
    JsonPatch,
    JsonPatchCopy,
    JsonPatchOperation,
    JsonPatchRemove,
    JsonPatchReplace,
    ProblemBody,
    ProblemCode,
    UserContent,
    UserMismatch,
    UserPage,
    UserPatch,
    UserView,
)

M = TypeVar("M", bound=BaseModel)
client = httpx.Client(
    base_url=os.environ["SATCHEL_URL"],
    headers={"Authorization": f"Bearer {os.environ['SATCHEL_KEY']}"},
)


def send(
    method: str,
    path: str,
    kind: type[M],
    status: int,
    body: BaseModel | None = None,
    **headers: str,
) -> M:
    """A request with a body of the document, and its answer by the document."""
    content = None if body is None else body.model_dump_json(by_alias=True, exclude_unset=True)
    answer = client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    return kind.model_validate_json(answer.content)


MERGE = {"Content-Type": "application/merge-patch+json"}
STEPS = {"Content-Type": "application/json-patch+json"}

made = send("POST", "/v1/users", UserView, 201, UserContent(email="dora@example.com", name="Dora"))
place = f"/v1/users/{made.id}"
read = send("GET", place, UserView, 200)
assert (read.name, read.createdAt.tzinfo is None, read.lastLogin) == ("Dora", False, None)
changed = send("PATCH", place, UserView, 200, UserPatch(name="Dora B.", email=None), **MERGE)
assert (changed.name, changed.email, changed.version) == ("Dora B.", None, 2)
steps = JsonPatch(
    root=[
        JsonPatchOperation(
            root=JsonPatchCopy.model_validate({"op": "copy", "from": "/name", "path": "/email"})
        ),
        JsonPatchOperation(root=JsonPatchRemove(op="remove", path="/email")),
        JsonPatchOperation(root=JsonPatchReplace(op="replace", path="/name", value="Dora C.")),
    ]
)
assert send("PATCH", place, UserView, 200, steps, **STEPS).name == "Dora C."
late = send(
    "PATCH", place, UserMismatch, 412, UserPatch(name="Dora D."), **MERGE, **{"If-Match": '"1"'}
)
assert late.current is not None
assert (late.current.name, late.code) == ("Dora C.", ProblemCode.version_mismatch)
value = f"{place}/apps/notes/data/settings"
assert client.put(value, json={"theme": "dark"}).status_code == 201
envelope = AppDataEnvelope.model_validate_json(client.put(value, json={"theme": "light"}).content)
assert (envelope.version, envelope.value) == (2, None)
there = send("PUT", value, AppDataMismatch, 412, UserPatch(), **{"If-None-Match": "*"})
assert there.current is not None
assert there.current.value == {"theme": "light"}
send("POST", "/v1/users", UserView, 201, UserContent())
first = send("GET", "/v1/users?limit=1", UserPage, 200)
second = send("GET", f"/v1/users?limit=1&cursor={first.nextCursor}", UserPage, 200)
assert first.items[0].id != second.items[0].id
problem = send("GET", f"/v1/users/{'f' * 24}", ProblemBody, 404)
assert problem.code is ProblemCode.not_found
print("told")
