"""A person, and what tests have made for them."""

from dataclasses import dataclass, field
from typing import Any

from tests.cast import Cast, Programme, programme_of
from tests.harness import Api, Caller

GIT_TOKEN = "github_pat_example"

CONNECTION = {
    "provider": "sandbox",
    "institution": "B",
    "label": "L",
    "accessToken": "sandbox_bob",
}
REPOSITORY = {
    "repositoryUrl": "https://github.com/example/notes",
    "serviceType": "GitHub",
    "accessToken": GIT_TOKEN,
}


@dataclass
class Scene:
    """What is made as far as it is asked for, and once.

    Attributes:
        made: the id of what was posted, by its path.
        whose: the person that it is made for; the owner where it is nobody else.
        connection, repository: the bodies with which these are made.
    """

    api: Api
    cast: Cast
    made: dict[str, str] = field(default_factory=dict, kw_only=True)
    programme: Programme | None = field(default=None, kw_only=True)
    whose: Caller | None = field(default=None, kw_only=True)
    connection: dict[str, str] = field(default_factory=lambda: CONNECTION, kw_only=True)
    repository: dict[str, str] = field(default_factory=lambda: REPOSITORY, kw_only=True)

    @property
    def person(self) -> Caller:
        return self.whose or self.cast.owner

    async def make(self, caller: Caller, path: str, body: Any, name: str = "id") -> str:
        """What is posted, once for each path; its id."""
        if path not in self.made:
            answer = await caller.post(path, json=body)
            assert answer.status_code in (201, 202), answer.text
            self.made[path] = str(answer.json()[name])
        return self.made[path]

    async def connect(self, project: str) -> None:
        answer = await self.person.put(f"/v1/projects/{project}/repository", json=self.repository)
        assert answer.status_code in (200, 201), answer.text

    async def cards(self) -> Programme:
        if self.programme is None:
            self.programme = await programme_of(self.api, self.cast.admin)
        return self.programme
